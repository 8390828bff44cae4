"""The same calls on ADK's own session services and on ours: the same results."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event, EventActions
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from tests.adk_sessions import SERVICES, service_named

APP, USER = "shop", "anna"
START = 1_700_000_000.0


@pytest.fixture(params=SERVICES)
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseSessionService]:
    async with service_named(request.param, tmp_path) as service:
        yield service


def an_event(number: int, **actions: Any) -> Event:
    return Event(
        id=f"event-{number}",
        invocation_id=f"e-{number // 2}",
        author="user" if number % 2 == 0 else "clerk",
        timestamp=START + number,
        content=types.Content(role="user", parts=[types.Part(text=f"text {number}")]),
        actions=EventActions(**actions),
    )


async def with_events(service: BaseSessionService, count: int, session_id: str = "s") -> Session:
    session = await service.create_session(app_name=APP, user_id=USER, session_id=session_id)
    # ADK's SQLite service takes a session's times from the events' clock.
    session.last_update_time = max(session.last_update_time, START + 10**9)
    for number in range(count):
        await service.append_event(session, an_event(number))
        session.last_update_time = START + 10**9
    return session


async def read(
    service: BaseSessionService, session_id: str = "s", config: GetSessionConfig | None = None, app: str = APP
) -> Session:
    session = await service.get_session(app_name=app, user_id=USER, session_id=session_id, config=config)
    assert session is not None
    return session


async def test_a_created_session_has_its_names_and_state(service: BaseSessionService) -> None:
    state = {"own": {"a": [1, None]}, "user:lang": "de", "app:motd": "hi", "temp:x": 1}
    created = await service.create_session(app_name=APP, user_id=USER, session_id="My Session/1", state=state)
    again = await read(service, "My Session/1")
    for session in (created, again):
        assert (session.app_name, session.user_id, session.id) == (APP, USER, "My Session/1")
        assert session.state == {"own": {"a": [1, None]}, "user:lang": "de", "app:motd": "hi"}
        assert session.events == []
        assert session.last_update_time > 0


async def test_an_id_is_made_when_none_is_chosen(service: BaseSessionService) -> None:
    first, second = [await service.create_session(app_name=APP, user_id=USER) for _ in range(2)]
    assert first.id
    assert first.id != second.id
    assert (await read(service, first.id)).id == first.id


async def test_an_id_is_chosen_once(service: BaseSessionService) -> None:
    await service.create_session(app_name=APP, user_id=USER, session_id="s")
    with pytest.raises(AlreadyExistsError):
        await service.create_session(app_name=APP, user_id=USER, session_id="s")


async def test_blanks_at_the_ends_are_none_of_an_id(service: BaseSessionService) -> None:
    assert (await service.create_session(app_name=APP, user_id=USER, session_id="  s ")).id == "s"
    assert (await read(service, " s  ")).id == "s"


@pytest.mark.parametrize("session_id", ["s", "Ünïcode ☂", "a/b?c=d&e#f", "x" * 200, "../../etc", "S", "sess-1", "%2F"])
async def test_any_id_is_its_own(service: BaseSessionService, session_id: str) -> None:
    for chosen in (session_id, session_id + "x"):
        await service.create_session(app_name=APP, user_id=USER, session_id=chosen, state={"of": chosen})
    for chosen in (session_id, session_id + "x"):
        session = await read(service, chosen)
        assert (session.id, session.state) == (chosen, {"of": chosen})


async def test_apps_and_users_are_kept_apart(service: BaseSessionService) -> None:
    for app in ("shop", "desk"):
        for user in ("anna", "bob"):
            state = {"of": f"{app} {user}", "app:a": app, "user:u": f"{app} {user}"}
            await service.create_session(app_name=app, user_id=user, session_id="s", state=state)
    for app in ("shop", "desk"):
        for user in ("anna", "bob"):
            session = await service.get_session(app_name=app, user_id=user, session_id="s")
            assert session is not None
            assert session.state["of"] == f"{app} {user}"
        assert [each.user_id for each in (await service.list_sessions(app_name=app)).sessions] == ["anna", "bob"]
        own = (await service.list_sessions(app_name=app, user_id="bob")).sessions
        assert [(each.app_name, each.user_id, each.id, each.events) for each in own] == [(app, "bob", "s", [])]


async def test_what_is_not_there_is_none(service: BaseSessionService) -> None:
    await with_events(service, 1)
    assert await service.get_session(app_name=APP, user_id=USER, session_id="other") is None
    assert await service.get_session(app_name="desk", user_id=USER, session_id="s") is None
    assert await service.get_session(app_name=APP, user_id="bob", session_id="s") is None
    assert (await service.list_sessions(app_name=APP, user_id="bob")).sessions == []
    assert (await service.list_sessions(app_name="desk")).sessions == []
    await service.delete_session(app_name=APP, user_id=USER, session_id="other")


async def test_a_deleted_session_is_gone_and_its_id_free(service: BaseSessionService) -> None:
    session = await with_events(service, 3)
    await service.delete_session(app_name=APP, user_id=USER, session_id="s")
    assert await service.get_session(app_name=APP, user_id=USER, session_id="s") is None
    with pytest.raises(SessionNotFoundError):
        await service.append_event(session, an_event(7))
    await service.create_session(app_name=APP, user_id=USER, session_id="s")
    assert (await read(service)).events == []


async def test_sessions_are_listed_by_their_last_update(service: BaseSessionService) -> None:
    sessions = [await service.create_session(app_name=APP, user_id=USER, session_id=name) for name in "abc"]
    await service.append_event(sessions[0], Event(author="user"))
    assert [each.id for each in (await service.list_sessions(app_name=APP, user_id=USER)).sessions] == ["b", "c", "a"]


async def test_events_come_back_in_their_order(service: BaseSessionService) -> None:
    session = await with_events(service, 7)
    assert session.events == [an_event(number) for number in range(7)]
    assert (await read(service)).events == session.events


@pytest.mark.parametrize("recent", [None, 0, 1, 5, 7, 9])
@pytest.mark.parametrize("since", [None, START, START + 3, START + 3.5, START + 6, START + 99])
async def test_the_events_that_are_asked_for_come(
    service: BaseSessionService, recent: int | None, since: float | None
) -> None:
    await with_events(service, 7)
    session = await read(service, config=GetSessionConfig(num_recent_events=recent, after_timestamp=since))
    wanted = [number for number in range(7) if since is None or START + number >= since]
    wanted = wanted if recent is None else wanted[len(wanted) - min(recent, len(wanted)) :]
    assert session.events == [an_event(number) for number in wanted]


async def test_partial_events_are_not_stored(service: BaseSessionService) -> None:
    session = await with_events(service, 1)
    fragment = an_event(1, state_delta={"x": 1}).model_copy(update={"partial": True})
    assert await service.append_event(session, fragment) is fragment
    assert len(session.events) == 1
    assert len((await read(service)).events) == 1


async def test_a_state_delta_is_merged_by_scope(service: BaseSessionService) -> None:
    session = await service.create_session(
        app_name=APP, user_id=USER, session_id="s", state={"kept": 1, "changed": 1, "user:a": 1}
    )
    delta = {"changed": 2, "new": {"deep": [1.5]}, "user:b": "ü", "app:c": True, "temp:d": "gone"}
    event = await service.append_event(session, Event(author="clerk", actions=EventActions(state_delta=delta)))
    lasting = {key: value for key, value in delta.items() if key != "temp:d"}
    assert event.actions.state_delta == lasting
    assert session.state == {"kept": 1, "user:a": 1, **delta}
    stored = await read(service)
    assert stored.state == {"kept": 1, "user:a": 1, **lasting}
    assert stored.events[0].actions.state_delta == lasting


async def test_a_value_of_none_reads_as_none(service: BaseSessionService) -> None:
    session = await service.create_session(app_name=APP, user_id=USER, session_id="s", state={"a": 1, "user:b": 1})
    delta = {"a": None, "user:b": None}
    await service.append_event(session, Event(author="clerk", actions=EventActions(state_delta=delta)))
    state = (await read(service)).state
    assert (state.get("a"), state.get("user:b")) == (None, None)
