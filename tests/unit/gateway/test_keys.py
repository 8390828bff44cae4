"""The command that makes API keys."""

import sys
from pathlib import Path

import pytest

from gateway.keys import main
from kit.api_keys import ApiKeyAuthenticator
from kit.errors import Unauthenticated
from kit.identity import PrincipalKind


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command prints."""
    monkeypatch.setattr(sys, "argv", ["gateway.keys", *words])
    main()
    return capsys.readouterr().out.strip()


def test_a_printed_key_opens_until_it_is_disabled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    where = ("--file", str(file))
    words = ("--tenant", "acme", "--user", "robot", "--scope", "tenant", "--service", "--days", "1")
    secret = run(monkeypatch, capsys, "create", *where, *words)
    principal = ApiKeyAuthenticator(file).authenticate(secret)
    assert (principal.tenant, principal.subject, principal.kind) == ("acme", "robot", PrincipalKind.SERVICE)
    assert principal.scopes == {"tenant"}

    listed = run(monkeypatch, capsys, "list", *where)
    assert "acme/robot" in listed
    assert secret not in listed

    run(monkeypatch, capsys, "disable", *where, listed.split()[0])
    with pytest.raises(Unauthenticated):
        ApiKeyAuthenticator(file).authenticate(secret)


def test_what_cannot_be_done_ends_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    with pytest.raises(SystemExit, match="there is no key"):
        run(monkeypatch, capsys, "disable", "--file", str(file), "unknown")
    with pytest.raises(SystemExit, match="tenant"):
        run(monkeypatch, capsys, "create", "--file", str(file), "--tenant", "not a name", "--user", "ada")
