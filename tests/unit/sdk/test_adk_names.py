"""ADK's names, scopes and URIs, said in Bureau's words."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bureau.adapters.adk.names import bureau_id, title_of, turn_id
from bureau.adapters.adk.scopes import folded, unfolded, user_keys
from bureau.adapters.adk.settings import address_of
from bureau.cli.settings import NotConfigured
from bureau_contracts.sessions import NewSession, NewTurn
from tests.adk_events import json_values

anything = st.text()
names = st.tuples(anything, anything, anything)


@given(names, names)
def test_every_name_fits_and_is_its_own(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    NewSession(session_id=bureau_id(*one), title=title_of(one[2]))
    assert (bureau_id(*one) == bureau_id(*other)) == (one == other)


@given(anything, anything)
def test_every_event_has_a_turn_of_its_own(one: str, other: str) -> None:
    NewTurn(turn_id=turn_id(one))
    assert (turn_id(one) == turn_id(other)) == (one == other)


def test_a_chosen_id_can_be_read_in_bureaus() -> None:
    assert re.fullmatch(r"sess-adk-ticket-42-[a-z2-7]{26}", bureau_id("shop", "anna", "Ticket #42"))
    assert len(bureau_id("shop", "anna", "x" * 999)) == 5 + 4 + 30 + 1 + 26
    # These are names of stored sessions: another digest would lose them.
    assert bureau_id("shop", "anna", "s") == "sess-adk-s-sgkfgykwzdyo26n43wkg5ogvdd"


keys = st.tuples(st.sampled_from(["", "app:", "user:"]), anything).map("".join)
states = st.dictionaries(keys.filter(lambda key: not key.startswith("temp:")), json_values, max_size=4)


@given(anything, states, anything, states)
def test_state_comes_back_and_no_other_apps_does(app: str, state: dict[str, object], other: str, more: object) -> None:
    kept = folded(app, state)
    assert unfolded(app, kept) == state
    if other != app:
        shared = {key for key in unfolded(other, kept) if key.startswith(("app:", "user:"))}
        assert not shared


def test_shared_keys_carry_the_apps_name() -> None:
    state = {"app:a": 1, "user:b": 2, "temp:c": 3, "d": 4}
    assert folded("my:shop", state) == {"app:my%3Ashop:a": 1, "user:my%3Ashop:b": 2, "d": 4}
    assert user_keys("my:shop", folded("my:shop", state)) == {"b": 2}


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("bureau://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("bureau://localhost", "http://localhost"),
        ("bureau://[::1]:8080/", "http://[::1]:8080"),
        ("bureau://bureau.example", "https://bureau.example"),
        ("bureau://bureau.example:444/back/office/", "https://bureau.example:444/back/office"),
        ("bureau+http://gateway:8080", "http://gateway:8080"),
        ("bureau+https://127.0.0.1:8443", "https://127.0.0.1:8443"),
    ],
)
def test_a_uri_points_at_a_gateway(uri: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUREAU_API_KEY", "bk_1")
    address = address_of(uri)
    assert (address.url, address.api_key) == (url, "bk_1")


@pytest.mark.parametrize(
    "uri", ["bureau://bk_1@host", "bureau://a:b@host", "bureau://host?key=bk_1", "bureau://host#bk_1", "redis://host"]
)
def test_a_uri_holds_no_key(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUREAU_API_KEY", "bk_1")
    with pytest.raises(ValueError, match="session service URI") as refused:
        address_of(uri)
    assert "bk_1" not in str(refused.value)


def test_without_a_host_it_is_the_bureau_of_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BUREAU_URL", "BUREAU_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BUREAU_DATA", str(tmp_path))
    with pytest.raises(NotConfigured):
        address_of("bureau://")
    with pytest.raises(NotConfigured, match="BUREAU_API_KEY"):
        address_of("bureau://127.0.0.1:8080")
    (tmp_path / "client.env").write_text("BUREAU_URL=http://127.0.0.1:1\nBUREAU_API_KEY=bk_2\n")
    address = address_of("bureau://")
    assert (address.url, address.api_key) == ("http://127.0.0.1:1", "bk_2")
