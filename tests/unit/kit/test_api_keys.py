"""The file of API keys: created, found, revoked, and never readable."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from kit.api_keys import RELOAD_SECONDS, ApiKeyAuthenticator, ApiKeyFile
from kit.errors import Unauthenticated
from kit.identity import PrincipalKind


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_created_key_authenticates_its_user(path: Path) -> None:
    key = ApiKeyFile(path).create(tenant="acme", user="ada", scopes=["registry:write"])
    principal = ApiKeyAuthenticator(path).authenticate(key.secret)
    assert (principal.tenant, principal.subject, principal.kind) == ("acme", "ada", PrincipalKind.USER)
    assert principal.scopes == {"registry:write"}


def test_the_file_holds_no_key_and_is_private(path: Path) -> None:
    key = ApiKeyFile(path).create(tenant="acme", user="ada")
    assert key.secret not in path.read_text()
    assert key.secret.rpartition("_")[2] not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: s + "x", lambda s: "", lambda s: "bk_", str.upper])
def test_a_wrong_key_is_refused(path: Path, change: "object") -> None:
    key = ApiKeyFile(path).create(tenant="acme", user="ada")
    assert callable(change)
    with pytest.raises(Unauthenticated):
        ApiKeyAuthenticator(path).authenticate(change(key.secret))


def test_a_disabled_key_is_refused_within_a_second_by_a_running_server(path: Path) -> None:
    file, ticks = ApiKeyFile(path), Ticks()
    key = file.create(tenant="acme", user="ada")
    server = ApiKeyAuthenticator(path, monotonic=ticks)
    server.authenticate(key.secret)
    assert file.disable(key.key_id)
    ticks.now += RELOAD_SECONDS
    with pytest.raises(Unauthenticated):
        server.authenticate(key.secret)


def test_a_key_created_later_is_known_at_once(path: Path) -> None:
    file = ApiKeyFile(path)
    file.create(tenant="acme", user="ada")
    server = ApiKeyAuthenticator(path, monotonic=Ticks())
    with pytest.raises(Unauthenticated):
        server.authenticate("bk_none_none")
    key = file.create(tenant="acme", user="grace")
    assert server.authenticate(key.secret).subject == "grace"


def test_an_expired_key_is_refused(path: Path) -> None:
    now = datetime.now(UTC)
    key = ApiKeyFile(path).create(tenant="acme", user="ada", expires_at=now + timedelta(days=1))
    ApiKeyAuthenticator(path).authenticate(key.secret)
    later = (now + timedelta(days=2)).timestamp()
    with pytest.raises(Unauthenticated):
        ApiKeyAuthenticator(path, now=lambda: later).authenticate(key.secret)


@pytest.mark.parametrize("content", ["", "{", '{"keys": {"a": {}}}', "[]", "\x00"])
def test_a_damaged_file_lets_nobody_in(path: Path, content: str) -> None:
    key = ApiKeyFile(path).create(tenant="acme", user="ada")
    path.write_text(content)
    with pytest.raises(Unauthenticated):
        ApiKeyAuthenticator(path).authenticate(key.secret)


def test_keys_created_at_the_same_time_are_all_kept(path: Path) -> None:
    threads = [
        threading.Thread(target=ApiKeyFile(path).create, kwargs={"tenant": "acme", "user": f"user{n}"})
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.user for key in ApiKeyFile(path).list().values()} == {f"user{n}" for n in range(16)}


@pytest.mark.parametrize("user", ["", "a b", "../x", "ä", "x" * 200])
def test_a_user_that_is_no_identifier_gets_no_key(path: Path, user: str) -> None:
    with pytest.raises(ValidationError):
        ApiKeyFile(path).create(tenant="acme", user=user)
    assert not path.exists()
