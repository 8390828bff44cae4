"""Every adapter of the sessions' store, opened for a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.sessions.redis_link import RedisLink
from services.sessions.store import SessionStore
from services.sessions.store_cached import CachedSessionStore
from services.sessions.store_memory import MemorySessionStore
from services.sessions.store_postgres import PostgresSessionStore
from services.sessions.store_sqlite import SqliteSessionStore
from services.sessions.tails_redis import RedisTails

LASTING = ["sqlite", "postgres"]
CACHED = ["sqlite+redis", "postgres+redis"]
ADAPTERS = ["memory", *LASTING, *CACHED]
UNCACHED = ["memory", *LASTING]
"""For what is tested through routes: that a cache changes nothing, the suites of the stores show."""


def make_store(adapter: str, request: pytest.FixtureRequest) -> SessionStore:
    """Not open yet. Two of the same test share their data, except in memory."""
    if adapter in CACHED:
        behind = make_store(adapter.removesuffix("+redis"), request)
        return cached(behind, request.getfixturevalue("redis_url"))
    if adapter == "memory":
        return MemorySessionStore()
    if adapter == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path")
        return SqliteSessionStore(folder / "sessions.db")
    return PostgresSessionStore(request.getfixturevalue("sessions_database_url"))


def cached(store: SessionStore, redis_url: str) -> CachedSessionStore:
    # Time enough for a busy machine: what a test of the store is about must not come from behind the cache.
    return CachedSessionStore(store, RedisTails(RedisLink(redis_url, timeout_seconds=5), ttl_seconds=3600))


@asynccontextmanager
async def opened(store: SessionStore) -> AsyncIterator[SessionStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()
