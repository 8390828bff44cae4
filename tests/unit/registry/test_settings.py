"""The registry's settings as they stand in the environment."""

from pathlib import Path

import pytest

from kit.settings import SettingsError
from services.registry.settings import Settings


def test_the_defaults_are_those_that_are_documented() -> None:
    settings = Settings.from_environment({})
    assert (settings.port, settings.factory_prefixes, settings.search_threshold) == (8003, ("examples.",), 0.5)


def test_settings_are_read_from_the_environment() -> None:
    settings = Settings.from_environment(
        {"REGISTRY_FILE": "/data/r.json", "REGISTRY_FACTORY_PREFIXES": "acme., examples.,", "REGISTRY_PORT": "9"}
    )
    assert settings.file == Path("/data/r.json")
    assert settings.factory_prefixes == ("acme.", "examples.")
    assert settings.port == 9


@pytest.mark.parametrize("variable", ["REGISTRY_FILES", "REGISTRY_SEARCH_THRESHOLD"])
def test_a_setting_that_is_unknown_or_wrong_is_named(variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        Settings.from_environment({variable: "x"})


def test_secrets_of_records_are_no_settings_and_settings_are_no_secrets_of_records() -> None:
    Settings.from_environment({"BUREAU_SECRET_CRM": "x"})
    for prefix in ("BUREAU_", "BUREAU_IDENTITY_", "REGISTRY_", "", "X"):
        with pytest.raises(SettingsError, match="SECRET_ENV_PREFIX"):
            Settings.from_environment({"REGISTRY_SECRET_ENV_PREFIX": prefix})
    assert Settings.from_environment({"REGISTRY_SECRET_ENV_PREFIX": "AGENTS_"}).secret_env_prefix == "AGENTS_"
