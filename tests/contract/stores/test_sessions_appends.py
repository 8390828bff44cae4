"""Appends to many sessions in Postgres at once: they share a statement, and nothing else."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bureau_contracts.sessions import NewMessage, NewSession, Role
from kit.clock import SystemClock
from kit.errors import Unavailable
from kit.identity import Principal, Reach
from services.sessions.appends_postgres import PostgresAppends, RememberedSessions
from services.sessions.edits import Edit, apply
from services.sessions.service import SessionsService
from services.sessions.store_postgres import PostgresSessionStore
from tests.unit.sessions.records import NOW, a_record

ANNA = Principal("acme", "anna")
MANY = [f"sess-{number}" for number in range(40)]


def hello(**fields: object) -> NewMessage:
    return NewMessage(role=Role.USER, content="hello").model_copy(update=fields)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresSessionStore]:
    store = PostgresSessionStore(database_url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def sessions(store: PostgresSessionStore) -> SessionsService:
    """Sessions with one message each, which this process remembers."""
    sessions = SessionsService(store, SystemClock())
    for each in MANY:
        await sessions.create(ANNA, NewSession(session_id=each))
    assert await append_to_all(sessions) == [1] * len(MANY)
    return sessions


async def append_to_all(sessions: SessionsService) -> list[int]:
    answers = await asyncio.gather(*(sessions.add_message(ANNA, each, hello(content=each)) for each in MANY))
    return [answer.seq for answer in answers]


async def contents(sessions: SessionsService, session_id: str) -> list[object]:
    page = await sessions.history(ANNA, session_id, before=None, after=0, limit=200)
    assert [message.seq for message in page.messages] == list(range(1, len(page.messages) + 1))
    return [message.content for message in page.messages]


async def test_each_session_gets_its_own_messages(sessions: SessionsService) -> None:
    assert await append_to_all(sessions) == [2] * len(MANY)
    assert await append_to_all(sessions) == [3] * len(MANY)
    for each in MANY:
        assert await contents(sessions, each) == [each] * 3


async def test_a_message_that_cannot_be_stored_takes_no_other_with_it(sessions: SessionsService) -> None:
    unstorable = sessions.add_message(ANNA, MANY[0], hello(metadata={"half a character": "\ud800"}))
    others = [sessions.add_message(ANNA, each, hello()) for each in MANY[1:]]
    failed, *answers = await asyncio.gather(unstorable, *others, return_exceptions=True)
    assert isinstance(failed, Exception)
    assert [getattr(answer, "seq", answer) for answer in answers] == [2] * len(others)
    assert (await sessions.add_message(ANNA, MANY[0], hello())).seq == 2


async def test_nobody_waits_for_a_session_that_somebody_else_holds(
    sessions: SessionsService, database_url: str
) -> None:
    stranger = await asyncpg.connect(database_url)
    try:
        async with stranger.transaction():
            await stranger.execute("SELECT FROM sessions.sessions WHERE session_id = $1 FOR UPDATE", MANY[0])
            held = asyncio.create_task(sessions.add_message(ANNA, MANY[0], hello()))
            answers = await asyncio.gather(*(sessions.add_message(ANNA, each, hello()) for each in MANY[1:]))
            assert [answer.seq for answer in answers] == [2] * len(answers)
            assert not held.done()
        assert (await held).seq == 2
    finally:
        await stranger.close()


async def test_one_session_is_appended_to_by_many_without_gap_or_double(sessions: SessionsService) -> None:
    answers = await asyncio.gather(*(sessions.add_message(ANNA, MANY[0], hello()) for _ in range(60)))
    assert sorted(answer.seq for answer in answers) == list(range(2, 62))
    assert len(await contents(sessions, MANY[0])) == 61


async def test_of_two_appends_to_a_session_under_way_one_is_left_to_its_caller(
    store: PostgresSessionStore, sessions: SessionsService
) -> None:
    del sessions  # made them
    kept = store._remembered.take("acme", "anna", MANY[0])
    assert kept is not None
    write = apply(kept.record, Edit(messages=[hello()]), NOW)
    both = await asyncio.gather(*(store._appends.append(kept.revision, write) for _ in range(2)))
    assert [revision is None for revision in both] == [False, True]
    reach = Reach("acme", "anna")
    assert (await store.get(reach, MANY[0])).session.message_count == 2
    assert await store._appends.append(kept.revision, write) is None  # it is at another revision by now


async def test_a_cancelled_caller_leaves_the_others_their_answers(sessions: SessionsService) -> None:
    callers = [asyncio.create_task(sessions.add_message(ANNA, each, hello())) for each in MANY]
    await asyncio.sleep(0)
    callers[0].cancel()
    cancelled, *answers = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert [getattr(answer, "seq", answer) for answer in answers] == [2] * len(answers)
    assert (await sessions.add_message(ANNA, MANY[0], hello())).seq in (2, 3)
    await contents(sessions, MANY[0])


async def test_who_waits_when_the_store_closes_is_told_so(
    store: PostgresSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sessions.appends_postgres.CLOSING_SECONDS", 0.1)
    entered = asyncio.Event()

    class Hanging:
        async def __aenter__(self) -> None:
            entered.set()
            await asyncio.Event().wait()

        async def __aexit__(self, *_: object) -> None: ...

    appends = PostgresAppends(Hanging)
    await appends.open()
    write = apply(a_record(), Edit(messages=[hello()]), NOW)
    waiting = asyncio.create_task(appends.append(1, write))
    async with asyncio.timeout(5):
        await entered.wait()
        await appends.close()
        with pytest.raises(Unavailable):
            await waiting


def test_as_many_sessions_are_remembered_as_are_meant_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.sessions.appends_postgres.KEPT", 2)
    remembered = RememberedSessions()
    for number in range(3):
        remembered.keep(a_record(session_id=f"sess-{number}"), number)
    assert remembered.take("acme", "anna", "sess-0") is None
    assert remembered.take("acme", "ben", "sess-1") is None
    assert remembered.take("acme", None, "sess-2") is not None
    assert remembered.take("acme", None, "sess-2") is None
