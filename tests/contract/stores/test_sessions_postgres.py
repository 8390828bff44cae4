"""What is particular to the store in Postgres: the database goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bureau_contracts.sessions import ForkSession, NewMessage, NewSession, Role
from deploy.local.postgres import EmbeddedPostgres
from kit.clock import SystemClock
from kit.errors import Unavailable
from kit.identity import Principal
from services.sessions.branching import Branching
from services.sessions.service import SessionsService
from services.sessions.store_postgres import PostgresSessionStore
from tests.ports import free_port
from tests.session_rows import rows_left
from tests.waiting import eventually

ANNA = Principal("acme", "anna")
HELLO = NewMessage(role=Role.USER, content="hello")
LATE_DATABASE = "sessions_come_late"


@pytest.fixture
async def no_database_yet(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    yield postgres_server.url_of(LATE_DATABASE)
    await asyncio.to_thread(postgres_server.execute, f"DROP DATABASE IF EXISTS {LATE_DATABASE} WITH (FORCE)")


async def test_it_starts_while_the_database_is_away_and_recovers_by_itself(
    no_database_yet: str, postgres_server: EmbeddedPostgres
) -> None:
    store = PostgresSessionStore(no_database_yet)
    await store.open()
    sessions = SessionsService(store, SystemClock())
    try:
        with pytest.raises(Unavailable) as refused:
            await sessions.create(ANNA, NewSession(session_id="sess-1"))
        assert refused.value.retry_after is not None
        with pytest.raises(Unavailable):
            await store.ping()
        await asyncio.to_thread(postgres_server.execute, f"CREATE DATABASE {LATE_DATABASE}")
        await sessions.create(ANNA, NewSession(session_id="sess-1"))
        assert (await sessions.add_message(ANNA, "sess-1", HELLO)).seq == 1
    finally:
        await store.close()


async def test_a_server_that_does_not_listen_is_unavailable() -> None:
    store = PostgresSessionStore(f"postgresql://nobody:nothing@127.0.0.1:{free_port()}/none")
    await store.open()
    try:
        with pytest.raises(Unavailable, match="database is away"):
            await store.ping()
    finally:
        await store.close()


async def test_connections_that_were_cut_are_replaced(database_url: str) -> None:
    store = PostgresSessionStore(database_url, connections=4)
    await store.open()
    sessions = SessionsService(store, SystemClock())
    stranger = await asyncpg.connect(database_url)
    try:
        await sessions.create(ANNA, NewSession(session_id="sess-1"))
        await asyncio.gather(*(sessions.add_message(ANNA, "sess-1", HELLO) for _ in range(8)))
        cut = await stranger.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cut > 1
        seq = 0
        async with asyncio.timeout(10):
            while not seq:
                try:
                    seq = (await sessions.add_message(ANNA, "sess-1", HELLO)).seq
                except Unavailable:
                    continue
        assert seq == 9
    finally:
        await stranger.close()
        await store.close()


async def test_a_lock_that_is_held_too_long_is_unavailable_and_changes_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sessions.store_postgres.COMMAND_SECONDS", 0.5)
    store = PostgresSessionStore(database_url)
    await store.open()
    sessions = SessionsService(store, SystemClock())
    stranger = await asyncpg.connect(database_url)
    try:
        await sessions.create(ANNA, NewSession(session_id="sess-1"))
        async with stranger.transaction():
            await stranger.execute("SELECT 1 FROM sessions.sessions FOR UPDATE")
            with pytest.raises(Unavailable):
                await sessions.add_message(ANNA, "sess-1", HELLO)
        assert (await sessions.add_message(ANNA, "sess-1", HELLO)).seq == 1
    finally:
        await stranger.close()
        await store.close()


@pytest.mark.parametrize(
    ("first", "second", "before"),
    [("sess-2", "sess-3", "sess-1"), ("sess-1", "sess-2", "sess-3"), ("sess-2", "sess-1", "sess-3")],
    ids=["two forks", "a session and its fork", "a fork and its session"],
)
async def test_of_sessions_that_are_purged_at_the_same_time_nothing_stays_behind(
    database_url: str, first: str, second: str, before: str
) -> None:
    """Each must not take the other for one that still shows the messages."""
    store = PostgresSessionStore(database_url)
    await store.open()
    sessions, branching = SessionsService(store, SystemClock()), Branching(store, SystemClock())
    stranger, watcher = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')"
    try:
        await sessions.create(ANNA, NewSession(session_id="sess-1"))
        for _ in range(3):
            await sessions.add_message(ANNA, "sess-1", HELLO)
        await branching.fork(ANNA, "sess-1", ForkSession(session_id="sess-2"))
        await branching.fork(ANNA, "sess-1", ForkSession(session_id="sess-3", at_seq=2))
        await sessions.purge(ANNA, before)
        async with stranger.transaction():
            await stranger.execute("DELETE FROM sessions.sessions WHERE session_id = $1", first)
            purge = asyncio.create_task(sessions.purge(ANNA, second))

            async def is_done_or_waits() -> bool:
                return purge.done() or bool(await watcher.fetchval(waiting))

            await eventually(is_done_or_waits)
        await purge
        assert await rows_left(store, ANNA.tenant) == {}
    finally:
        await watcher.close()
        await stranger.close()
        await store.close()
