"""Settings: typed, read once, and a typo is an error."""

from pathlib import Path

import pytest

from kit.settings import CommonSettings, ServerSettings, SettingsError


class Settings(ServerSettings):
    prefix = "SHOP_"
    port: int = 8099
    database_url: str = "sqlite://"


def test_values_come_from_the_environment() -> None:
    settings = Settings.from_environment({"SHOP_PORT": "1234", "BUREAU_LOG_LEVEL": "debug", "OTHER": "x"})
    assert (settings.port, settings.database_url, settings.common.log_level) == (1234, "sqlite://", "debug")


def test_a_file_may_hold_a_value(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://secret\n")
    settings = Settings.from_environment({"SHOP_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert settings.database_url == "postgresql://secret"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"SHOP_PROT": "1"}, "SHOP_PROT"),
        ({"SHOP_PORT": "many"}, "SHOP_PORT"),
        ({"SHOP_PORT": "70000"}, "SHOP_PORT"),
        ({"SHOP_DATABASE_URL_FILE": "/nowhere"}, "SHOP_DATABASE_URL_FILE"),
        ({"BUREAU_LOG_LEVEL": "loud"}, "BUREAU_LOG_LEVEL"),
        ({"BUREAU_LGO_LEVEL": "info"}, "BUREAU_LGO_LEVEL"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.from_environment(environment)


def test_secrets_do_not_show() -> None:
    settings = CommonSettings.from_environment({"BUREAU_IDENTITY_PRIVATE_KEY": "very secret"})
    assert "very secret" not in repr(settings) + str(settings.model_dump())
