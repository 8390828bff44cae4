"""What `BureauSessionService` promises beyond what ADK's own services do."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.events import Event, EventActions
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bureau import Bureau
from bureau.adapters.adk import BureauSessionService
from bureau.adapters.adk.names import bureau_id
from bureau.errors import Forbidden, Unavailable
from bureau_contracts.sessions import NewMessage, NewSession, NewTurn, Role
from kit.identity import Principal
from tests import adk_events
from tests.adk_sessions import ORCHESTRATOR, Signed, bureau_in_process, running
from tests.fakes import FixedClock
from tests.session_stores import UNCACHED, make_store

APP, USER = "shop", "anna"
NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": "s"}
KEY = bureau_id(APP, USER, "s")


@pytest.fixture(params=UNCACHED)
async def app(request: pytest.FixtureRequest) -> AsyncIterator[FastAPI]:
    async with running(make_store(request.param, request)) as app:
        yield app


@pytest.fixture
async def bureau(app: FastAPI) -> AsyncIterator[Bureau]:
    async with bureau_in_process(app) as bureau:
        yield bureau


@pytest.fixture
async def service(bureau: Bureau) -> BureauSessionService:
    return BureauSessionService(bureau)


def holding(author: str, *parts: types.Part, **fields: Any) -> Event:
    role = "user" if author == "user" or parts[0].function_response else "model"
    return Event(author=author, content=types.Content(role=role, parts=list(parts)), **fields)


def said(text: str, author: str = "user", **fields: Any) -> Event:
    return holding(author, types.Part(text=text), **fields)


def texts_of(session: Session) -> list[tuple[str, str | None]]:
    return [(each.author, part.text) for each in session.events if each.content for part in each.content.parts or []]


async def read(service: BureauSessionService, config: GetSessionConfig | None = None) -> Session:
    session = await service.get_session(**NAMES, config=config)
    assert session is not None
    return session


async def test_a_session_object_that_was_overtaken_is_refused(app: FastAPI, service: BureauSessionService) -> None:
    await service.create_session(**NAMES)
    async with BureauSessionService(bureau_in_process(app)) as other:
        mine, theirs = await read(service), await read(other)
        await other.append_event(theirs, said("first"))
        with pytest.raises(StaleSessionError):
            await service.append_event(mine, said("late", actions=EventActions(state_delta={"a": 1, "user:a": 1})))
        assert mine.events == []
        await other.append_event(theirs, said("second"))
    now = await read(service)
    assert (now.events, now.state) == (theirs.events, {})
    await service.append_event(now, said("third"))
    assert len((await read(service)).events) == 3


async def test_of_two_services_that_race_nothing_interleaves(app: FastAPI, service: BureauSessionService) -> None:
    """Each writes pairs, and reads anew when it is told that it is stale."""
    await service.create_session(**NAMES)
    refused = 0

    async def write(name: str) -> None:
        nonlocal refused
        async with BureauSessionService(bureau_in_process(app)) as own:
            for number in range(8):
                while True:
                    session = await read(own)
                    try:
                        await own.append_event(session, said(f"{name} {number} a"))
                    except StaleSessionError:
                        refused += 1
                        continue
                    break
                try:
                    await own.append_event(session, said(f"{name} {number} b"))
                except StaleSessionError:
                    refused += 1

    async with asyncio.TaskGroup() as group:
        for name in ("one", "two"):
            group.create_task(write(name))
    texts = [text or "" for _, text in texts_of(await read(service))]
    assert refused > 0
    assert len(texts) == len(set(texts))
    for place, text in enumerate(texts):
        if text.endswith("b"):
            assert texts[place - 1] == text.replace(" b", " a"), "a turn was cut in two"


async def test_branches_that_share_a_session_object_do_not_hinder_each_other(service: BureauSessionService) -> None:
    session = await service.create_session(**NAMES)
    await asyncio.gather(*(service.append_event(session, said(str(number))) for number in range(20)))
    assert {event.id for event in (await read(service)).events} == {event.id for event in session.events}
    assert len(session.events) == 20


async def test_a_session_object_made_by_hand_is_taken_when_it_is_up_to_date(service: BureauSessionService) -> None:
    session = await service.create_session(**NAMES)
    await service.append_event(session, said("one"))
    copy = Session.model_validate_json(session.model_dump_json())
    late = Session.model_validate_json(session.model_dump_json())
    await service.append_event(copy, said("two"))
    with pytest.raises(StaleSessionError):
        await service.append_event(late, said("three"))
    with pytest.raises(StaleSessionError):
        await service.append_event(Session(id="s", app_name=APP, user_id=USER), said("four"))
    assert len((await read(service)).events) == 2


@given(events=st.lists(adk_events.events, min_size=1, max_size=8))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_event_comes_back_exactly_from_every_store(
    service: BureauSessionService, events: list[Event]
) -> None:
    session = await service.create_session(app_name=APP, user_id=USER)
    for event in events:
        await service.append_event(session, event)
    again = await service.get_session(app_name=APP, user_id=USER, session_id=session.id)
    assert again is not None
    assert again.events == session.events == events


class LosesAnswers(httpx.AsyncBaseTransport):
    """Lets requests through; while `losing`, the answers of turns do not come back."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner, self.losing, self.lost = inner, True, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        if self.losing and request.url.path.endswith("/turns"):
            self.lost += 1
            raise httpx.ReadError("the connection broke")
        return response


async def test_an_append_whose_answer_was_lost_is_repeated_and_stored_once(app: FastAPI) -> None:
    transport = LosesAnswers(Signed(httpx.ASGITransport(app), ORCHESTRATOR))
    service = BureauSessionService(Bureau("http://sessions", "unused", transport=transport))
    session = await service.create_session(**NAMES)
    event = said("hello", actions=EventActions(state_delta={"n": 1}))
    with pytest.raises(Unavailable):
        await service.append_event(session, event)
    assert transport.lost == 3
    assert session.events == []
    transport.losing = False
    await service.append_event(session, event)
    await service.append_event(session, event)
    await service.append_event(session, said("and on"))
    assert len(session.events) == 2
    assert (await read(service)).events == session.events
    await service.close()


async def test_another_event_under_an_id_that_is_stored_is_refused(service: BureauSessionService) -> None:
    session = await service.create_session(**NAMES)
    await service.append_event(session, said("hello", id="one"))
    with pytest.raises(AlreadyExistsError):
        await service.append_event(session, said("good bye", id="one"))
    assert len((await read(service)).events) == 1


async def test_events_read_as_messages_in_bureau(bureau: Bureau, service: BureauSessionService) -> None:
    session = await service.create_session(**NAMES)
    call = types.FunctionCall(id="call-1", name="find", args={"order": 7})
    response = types.FunctionResponse(id="call-1", name="find", response={"state": "sent"})
    picture = types.Blob(data=b"\xff\xd8\x00", mime_type="image/png")
    usage = types.GenerateContentResponseUsageMetadata(prompt_token_count=11, candidates_token_count=3)
    for event in (
        holding("user", types.Part(text="Where is it?"), types.Part(inline_data=picture)),
        holding("clerk", types.Part(function_call=call), usage_metadata=usage),
        holding("clerk", types.Part(function_response=response)),
        holding("Clerk No. 2", types.Part(text="why", thought=True), types.Part(text="Sent.")),
        Event(author="clerk", error_code="SAFETY", error_message="blocked"),
    ):
        await service.append_event(session, event)
    view = await bureau.sessions.get(KEY)
    assert view.session.title == "s"
    assert view.session.metadata == {"adk": {"app_name": APP, "session_id": "s"}}
    shown = [(each.role, each.content, each.agent) for each in view.conversation_history]
    assert shown == [
        (Role.USER, "Where is it?\n[image/png, 3 bytes]", None),
        (Role.ASSISTANT, "", "clerk"),
        (Role.TOOL, "", "clerk"),
        (Role.ASSISTANT, "Sent.", None),
        (Role.ASSISTANT, "[error SAFETY: blocked]", "clerk"),
    ]
    calls, results = view.conversation_history[1], view.conversation_history[2]
    assert [each.model_dump() for each in calls.tool_calls] == [
        {"call_id": "call-1", "name": "find", "arguments": {"order": 7}}
    ]
    assert (calls.input_tokens, calls.output_tokens) == (11, 3)
    assert [(each.call_id, each.name, each.result) for each in results.tool_results] == [
        ("call-1", "find", {"state": "sent"})
    ]
    assert (await read(service)).events == session.events


async def test_a_note_by_an_operator_is_an_event_and_makes_others_stale(
    bureau: Bureau, service: BureauSessionService
) -> None:
    session = await service.create_session(**NAMES)
    await service.append_event(session, said("hello"))
    await bureau.sessions.add_message(KEY, NewMessage(role=Role.ASSISTANT, content="We are closed.", agent="desk"))
    await bureau.sessions.add_message(KEY, NewMessage(role=Role.SYSTEM, content="internal"))
    with pytest.raises(StaleSessionError):
        await service.append_event(session, said("too late"))
    now = await read(service)
    assert texts_of(now) == [("user", "hello"), ("desk", "We are closed.")]
    await service.append_event(now, said("I see"))


async def test_a_turn_while_somebody_holds_the_lease_is_told_so(bureau: Bureau, service: BureauSessionService) -> None:
    session = await service.create_session(**NAMES)
    await bureau.sessions.acquire_lease(KEY, "the runtime")
    with pytest.raises(StaleSessionError):
        await service.append_event(session, said("hello"))


async def test_a_session_that_lay_idle_for_long_goes_on(request: pytest.FixtureRequest) -> None:
    clock = FixedClock()
    async with (
        running(make_store("memory", request), clock) as app,
        BureauSessionService(bureau_in_process(app)) as service,
    ):
        session = await service.create_session(**NAMES)
        await service.append_event(session, said("hello"))
        late = await read(service)
        clock.move(400 * 24 * 3600)
        assert [each.id for each in (await service.list_sessions(app_name=APP, user_id=USER)).sessions] == ["s"]
        await service.append_event(session, said("here again"))
        await service.append_event(session, said("and on"))
        with pytest.raises(StaleSessionError):
            await service.append_event(late, said("overtaken"))
        clock.move(400 * 24 * 3600)
        with pytest.raises(StaleSessionError):
            await service.append_event(late, said("still overtaken"))
        assert (await read(service)).events == session.events


async def test_sessions_that_are_not_adks_are_not_listed(bureau: Bureau, service: BureauSessionService) -> None:
    await bureau.sessions.create(NewSession(user_id=USER))
    await bureau.sessions.create(NewSession(user_id=USER, metadata={"adk": "shop"}))
    await service.create_session(**NAMES)
    # As a fork has it: the names of another session.
    await bureau.sessions.create(NewSession(user_id=USER, metadata={"adk": {"app_name": APP, "session_id": "s"}}))
    assert [each.id for each in (await service.list_sessions(app_name=APP, user_id=USER)).sessions] == ["s"]


async def test_a_key_of_one_user_reaches_no_other(app: FastAPI, service: BureauSessionService) -> None:
    await service.create_session(**NAMES, state={"secret": 1})
    bobs = {**NAMES, "user_id": "bob"}
    async with BureauSessionService(bureau_in_process(app, Principal("acme", "bob"))) as bob:
        assert await bob.get_session(**NAMES) is None
        await bob.delete_session(**NAMES)
        with pytest.raises(Forbidden):
            await bob.create_session(**{**NAMES, "session_id": "t"})
        with pytest.raises(Forbidden):
            await bob.list_sessions(app_name=APP, user_id=USER)
        assert (await bob.list_sessions(app_name=APP)).sessions == []
        await bob.append_event(await bob.create_session(**bobs), said("mine"))
    async with BureauSessionService(bureau_in_process(app, Principal("globex", USER))) as stranger:
        assert await stranger.get_session(**NAMES) is None
        await stranger.create_session(**NAMES)
    assert (await read(service)).state == {"secret": 1}


@pytest.mark.parametrize("user_id", ["", "anna müller", "-x", "a/b", "x" * 129, "a\x00"])
async def test_a_user_that_bureau_cannot_have_is_refused_clearly(user_id: str) -> None:
    service = BureauSessionService(Bureau("http://nowhere.invalid", "unused"))
    names = {**NAMES, "user_id": user_id}
    calls: list[Callable[[], Any]] = [
        lambda: service.create_session(**names),
        lambda: service.get_session(**names),
        lambda: service.delete_session(**names),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="cannot be a user of Bureau"):
            await call()
    await service.close()


async def test_state_of_other_apps_and_of_bureau_itself_is_not_shown(
    bureau: Bureau, service: BureauSessionService
) -> None:
    await service.create_session(**NAMES, state={"user:a": 1, "app:b": 2, "own": 3})
    await service.create_session(**{**NAMES, "app_name": "sho"}, state={"user:a": 4, "user:p:a": 5})
    await bureau.sessions.set_state(KEY, {"user:lang": "de", "user:shop%3Ax": 1})
    assert (await read(service)).state == {"user:a": 1, "app:b": 2, "own": 3}


async def test_state_that_json_cannot_say_becomes_its_repr(service: BureauSessionService) -> None:
    session = await service.create_session(**NAMES, state={"when": {1, 2}})
    await service.append_event(session, Event(author="clerk", actions=EventActions(state_delta={"object": object})))
    state = (await read(service)).state
    assert sorted(state["when"]) == [1, 2]
    assert state["object"] == repr(object)


class Between(httpx.AsyncBaseTransport):
    """Does something once, after the first answer."""

    def __init__(self, inner: httpx.AsyncBaseTransport, act: Callable[[], Awaitable[object]]) -> None:
        self._inner, self._act, self._acted = inner, act, False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        if not self._acted:
            self._acted = True
            await self._act()
        return response


async def test_a_rewind_in_the_middle_of_a_reading_changes_nothing_of_it(
    app: FastAPI, bureau: Bureau, service: BureauSessionService
) -> None:
    await service.create_session(**NAMES)
    notes = [NewMessage(role=Role.USER, content=str(number)) for number in range(1000)]
    for turn in ("turn-1", "turn-2"):
        await bureau.sessions.turn(KEY, NewTurn(turn_id=turn, messages=notes))

    async def rewind() -> None:
        await bureau.sessions.rewind(KEY, 500)
        await bureau.sessions.turn(
            KEY, NewTurn(turn_id="turn-3", messages=[NewMessage(role=Role.USER, content="x")] * 999)
        )

    transport = Between(Signed(httpx.ASGITransport(app), ORCHESTRATOR), rewind)
    reader = BureauSessionService(Bureau("http://sessions", "unused", transport=transport))
    before = await read(reader)
    assert [text for _, text in texts_of(before)] == [str(number) for number in range(1000)] * 2
    with pytest.raises(StaleSessionError):
        await reader.append_event(before, said("too late"))
    after = await read(reader)
    assert [text for _, text in texts_of(after)] == [str(number) for number in range(500)] + ["x"] * 999
    await reader.close()


class Counting(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner, self.requests = inner, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return await self._inner.handle_async_request(request)


@pytest.mark.parametrize("app", ["sqlite"], indirect=True)
async def test_ten_thousand_events_are_read_in_few_requests(app: FastAPI, bureau: Bureau) -> None:
    service = BureauSessionService(bureau)
    await service.create_session(**NAMES)
    events = [said(f"text {number}", id=f"e{number}", timestamp=1000.0 + number) for number in range(10_000)]
    for start in range(0, len(events), 1000):
        messages = [
            NewMessage(role=Role.USER, content="x", metadata={"adk": {"event": json.loads(event.model_dump_json())}})
            for event in events[start : start + 1000]
        ]
        await bureau.sessions.turn(KEY, NewTurn(turn_id=f"turn-{start}", messages=messages))
    counting = Counting(Signed(httpx.ASGITransport(app), ORCHESTRATOR))
    reader = BureauSessionService(Bureau("http://sessions", "unused", transport=counting))
    assert (await read(reader)).events == events
    assert counting.requests == 1 + 9000 / 200
    for config, wanted, most in (
        (GetSessionConfig(num_recent_events=3), events[-3:], 1),
        (GetSessionConfig(num_recent_events=0), [], 1),
        (GetSessionConfig(num_recent_events=1500), events[-1500:], 5),
        (GetSessionConfig(after_timestamp=1000.0 + 9_500), events[9_500:], 1),
        (GetSessionConfig(after_timestamp=1000.0 + 8_000), events[8_000:], 9),
    ):
        counting.requests = 0
        assert (await read(reader, config)).events == wanted
        assert counting.requests <= most
    await reader.close()
