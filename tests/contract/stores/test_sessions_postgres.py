"""What is particular to the store in Postgres: the database goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bureau_contracts.sessions import NewMessage, NewSession, Role
from deploy.local.ports import free_port
from deploy.local.postgres import EmbeddedPostgres
from kit.clock import SystemClock
from kit.errors import Unavailable
from kit.identity import Principal
from services.sessions.service import SessionsService
from services.sessions.store_postgres import PostgresSessionStore

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
