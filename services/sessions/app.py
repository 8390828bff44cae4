"""Composition root of the sessions service: the only module that chooses a store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from kit.clock import Clock, SystemClock
from kit.health import Check
from kit.web import build_app
from services.sessions import api
from services.sessions.service import SessionsService
from services.sessions.settings import Settings
from services.sessions.store import SessionStore
from services.sessions.store_postgres import PostgresSessionStore
from services.sessions.store_sqlite import SqliteSessionStore

SQLITE = "sqlite:///"


def create_app(settings: Settings, *, store: SessionStore | None = None, clock: Clock | None = None) -> FastAPI:
    """Tests hand in a store and a clock of their own."""
    chosen = store or _store(settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await chosen.open()
        app.state.sessions = SessionsService(chosen, clock or SystemClock())
        try:
            yield
        finally:
            await chosen.close()

    return build_app(
        service="sessions", settings=settings, routers=[api.routes], lifespan=life, checks={"store": Check(chosen.ping)}
    )


def _store(settings: Settings) -> SessionStore:
    url = settings.database_url.get_secret_value()
    if url.startswith(SQLITE):
        return SqliteSessionStore(Path(url.removeprefix(SQLITE)), readers=settings.sqlite_readers)
    return PostgresSessionStore(
        url, connections=settings.postgres_connections, statement_cache_size=settings.postgres_statement_cache
    )
