"""Every adapter of the sessions' store, opened for a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.sessions.store import SessionStore
from services.sessions.store_memory import MemorySessionStore
from services.sessions.store_postgres import PostgresSessionStore
from services.sessions.store_sqlite import SqliteSessionStore

LASTING = ["sqlite", "postgres"]
ADAPTERS = ["memory", *LASTING]


def make_store(adapter: str, request: pytest.FixtureRequest) -> SessionStore:
    """Not open yet. Two of the same test share their data, except in memory."""
    if adapter == "memory":
        return MemorySessionStore()
    if adapter == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path")
        return SqliteSessionStore(folder / "sessions.db")
    return PostgresSessionStore(request.getfixturevalue("database_url"))


@asynccontextmanager
async def opened(store: SessionStore) -> AsyncIterator[SessionStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()
