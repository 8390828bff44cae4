"""ADK session services under test: ADK's own, and ours over a sessions service in this process or on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI
from google.adk.sessions import BaseSessionService, InMemorySessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService

from bureau import Bureau
from bureau.adapters.adk import BureauSessionService
from kit.clock import Clock
from kit.identity import PRINCIPAL_HEADER, TENANT_WIDE, Principal, PrincipalSigner, generate_keypair
from kit.settings import CommonSettings
from services.sessions.app import create_app
from services.sessions.settings import Settings
from services.sessions.store import SessionStore
from services.sessions.store_memory import MemorySessionStore

PRIVATE_KEY, PUBLIC_KEY = generate_keypair()
SIGNER = PrincipalSigner(PRIVATE_KEY, "tests")
ORCHESTRATOR = Principal("acme", "orchestrator", scopes=frozenset({TENANT_WIDE}))
SERVICES = ["adk-memory", "adk-sqlite", "bureau"]


class Signed(httpx.AsyncBaseTransport):
    """Does what the gateway does for a request: says whose it is."""

    def __init__(self, inner: httpx.AsyncBaseTransport, principal: Principal) -> None:
        self._inner, self._principal = inner, principal

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers[PRINCIPAL_HEADER] = SIGNER.sign(self._principal, "sessions")
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def sessions_app(store: SessionStore, clock: Clock | None = None) -> FastAPI:
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC_KEY), max_messages_per_minute=0)
    return create_app(settings, store=store, clock=clock)


@asynccontextmanager
async def running(store: SessionStore, clock: Clock | None = None) -> AsyncIterator[FastAPI]:
    app = sessions_app(store, clock)
    async with app.router.lifespan_context(app):
        yield app


def bureau_in_process(app: FastAPI, principal: Principal = ORCHESTRATOR) -> Bureau:
    return Bureau("http://sessions", "unused", transport=Signed(httpx.ASGITransport(app), principal))


def bureau_at(url: str, principal: Principal = ORCHESTRATOR) -> Bureau:
    return Bureau(url, "unused", transport=Signed(httpx.AsyncHTTPTransport(), principal))


@asynccontextmanager
async def service_named(name: str, folder: Path) -> AsyncIterator[BaseSessionService]:
    if name == "adk-memory":
        yield InMemorySessionService()
    elif name == "adk-sqlite":
        yield SqliteSessionService(str(folder / "adk.db"))
    else:
        async with (
            running(MemorySessionStore()) as app,
            BureauSessionService(bureau_in_process(app)) as service,
        ):
            yield service
