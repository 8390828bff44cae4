"""Composition root of the sessions service: the only module that chooses a store."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from fastapi import FastAPI

from kit.clock import Clock, SystemClock
from kit.health import Check
from kit.tasks import background, every
from kit.web import build_app
from services.sessions import (
    api,
    api_branches,
    api_compaction,
    api_operations,
    api_retention,
    api_search,
    api_transfer,
)
from services.sessions.branching import Branching
from services.sessions.compaction import Compaction
from services.sessions.lifecycle import Aging
from services.sessions.limits import Limits
from services.sessions.operations import Operations
from services.sessions.rates import LocalMessageRates, MessageRates
from services.sessions.rates_redis import RedisMessageRates
from services.sessions.redis_link import RedisLink
from services.sessions.retention import Retention
from services.sessions.search import MessageIndex, SearchService
from services.sessions.search_memory import MemoryMessageIndex
from services.sessions.search_postgres import PostgresMessageIndex
from services.sessions.search_sqlite import SqliteMessageIndex
from services.sessions.service import SessionsService
from services.sessions.settings import Settings
from services.sessions.store import SessionStore
from services.sessions.store_aging import AgingSessionStore
from services.sessions.store_cached import CachedSessionStore
from services.sessions.store_memory import MemorySessionStore
from services.sessions.store_postgres import PostgresSessionStore
from services.sessions.store_sqlite import SqliteSessionStore
from services.sessions.summariser_extractive import ExtractiveSummariser
from services.sessions.summariser_fallback import SummariserWithFallback
from services.sessions.sweep import Sweep
from services.sessions.tails_redis import RedisTails
from services.sessions.transfer import SessionRows
from services.sessions.transfer_postgres import PostgresSessionRows
from services.sessions.transfer_sqlite import SqliteSessionRows
from services.sessions.transferring import Transferring
from services.sessions.upkeep import Upkeep


def create_app(settings: Settings, *, store: SessionStore | None = None, clock: Clock | None = None) -> FastAPI:
    """Tests hand in a store and a clock of their own."""
    chosen = store or _store(settings)
    index, rows = message_index(chosen), session_rows(chosen)
    operations = Operations(chosen.database if isinstance(chosen, SqliteSessionStore) else None)
    checks = {"store": Check(chosen.ping), **({"file": Check(operations.condition)} if operations.file else {})}
    rates: MessageRates = LocalMessageRates()
    if redis_url := settings.redis_url.get_secret_value():
        link = RedisLink(redis_url, timeout_seconds=settings.redis_timeout_seconds)
        chosen = CachedSessionStore(chosen, RedisTails(link, ttl_seconds=settings.cache_seconds))
        rates = RedisMessageRates(link, LocalMessageRates())
        checks["cache"] = Check(link.ping, required=False)
    time, aging = clock or SystemClock(), Aging(timedelta(days=settings.idle_days) if settings.idle_days else None)
    aged = AgingSessionStore(chosen, aging, time)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await chosen.open()
        await rates.open()
        limits = Limits(settings.max_messages_per_minute, rates, settings.max_per_user, settings.max_message_bytes)
        await index.open()
        app.state.operations = operations
        app.state.search = SearchService(index)
        app.state.transferring = Transferring(aged, rows, time, limits)
        app.state.branching = Branching(aged, time, limits)
        app.state.retention = Retention(aged, time, aging, limits)
        app.state.sessions = SessionsService(aged, time, limits)
        try:
            async with _compaction(settings, aged, time) as compaction:
                compact = partial(compaction.sweep, above_tokens=settings.compact_above_tokens)
                upkeep = Upkeep(chosen, time, aging, settings.cleanup_days, settings.purge_archived_days)
                sweep = Sweep([*upkeep.duties(), compact])
                app.state.compaction, app.state.sweep = compaction, sweep
                async with background(*_periodic(settings, sweep)):
                    yield
        finally:
            await index.close()
            await rates.close()
            await chosen.close()

    return build_app(
        service="sessions",
        settings=settings,
        # Routes of no one session come before those of one.
        routers=[
            api_operations.routes,
            api_search.routes,
            api_transfer.routes,
            api_retention.routes,
            api_branches.routes,
            api_compaction.routes,
            api.routes,
        ],
        lifespan=life,
        checks=checks,
    )


@asynccontextmanager
async def _compaction(settings: Settings, store: SessionStore, clock: Clock) -> AsyncIterator[Compaction]:
    extractive = ExtractiveSummariser()
    kind, _, model = settings.summariser.partition(":")
    if kind == extractive.name:
        yield Compaction(store, extractive, clock)
        return
    # Not at the top: without a model the service needs no client.
    from kit.http_client import outside_http
    from services.sessions.summariser_openai import OpenAiSummariser

    seconds = settings.summariser_timeout_seconds
    async with outside_http(timeout_seconds=seconds, connect_seconds=min(seconds, 5)) as client:
        asking = OpenAiSummariser(
            model,
            client,
            base_url=settings.summariser_base_url,
            api_key=settings.summariser_api_key,
            timeout_seconds=seconds,
        )
        yield Compaction(store, SummariserWithFallback(asking, extractive), clock)


def _periodic(settings: Settings, sweep: Sweep) -> list[Coroutine[object, object, None]]:
    return [every(settings.sweep_seconds, sweep.run, name="sweep")] if settings.sweep_seconds else []


def message_index(store: SessionStore) -> MessageIndex:
    """The index that lives where the messages are."""
    if isinstance(store, CachedSessionStore):
        return message_index(store.behind)
    if isinstance(store, SqliteSessionStore):
        return SqliteMessageIndex(store.database)
    if isinstance(store, PostgresSessionStore):
        return PostgresMessageIndex(store.connection)
    if isinstance(store, MemorySessionStore):
        return MemoryMessageIndex(store.shown)
    raise TypeError(f"{type(store).__name__} has no index of messages")


def session_rows(store: SessionStore) -> SessionRows:
    """What exports and imports go through, of the store where the messages are."""
    if isinstance(store, CachedSessionStore):
        return session_rows(store.behind)
    if isinstance(store, SqliteSessionStore):
        return SqliteSessionRows(store.database)
    if isinstance(store, PostgresSessionStore):
        return PostgresSessionRows(store.connection)
    if isinstance(store, MemorySessionStore):
        return store
    raise TypeError(f"{type(store).__name__} has no way to export from")


def _store(settings: Settings) -> SessionStore:
    if (path := settings.sqlite_path) is not None:
        return SqliteSessionStore(path, readers=settings.sqlite_readers)
    url = settings.database_url.get_secret_value()
    return PostgresSessionStore(
        url, connections=settings.postgres_connections, statement_cache_size=settings.postgres_statement_cache
    )
