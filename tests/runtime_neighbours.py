"""The services around the runtime, in process: real registry and sessions over their in-memory stores, and a memory
and an evaluation that can be switched off. No socket is opened."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
from fastapi import FastAPI

from bureau.errors import no_answer
from bureau.http import Caller
from bureau.registry import RegistryClient
from bureau.sessions import SessionsClient
from bureau_contracts.evaluation import NewMetric, Recorded
from bureau_contracts.memory import Memory, MemoryHit, MemoryKind, MemorySearchAnswer
from bureau_contracts.registry import RegisterAgent
from bureau_contracts.tools import RegisterTool
from kit.identity import (
    ADMIN,
    PRINCIPAL_HEADER,
    Principal,
    PrincipalSigner,
    acting_as,
    current_principal,
    generate_keypair,
)
from kit.settings import CommonSettings
from kit.telemetry import outgoing_headers
from services.registry import app as registry
from services.registry.settings import Settings as RegistrySettings
from services.registry.store_memory import MemoryStore
from services.runtime.app import Neighbours
from services.sessions import app as sessions
from services.sessions.settings import Settings as SessionsSettings
from services.sessions.store_memory import MemorySessionStore

PRIVATE_KEY, PUBLIC_KEY = generate_keypair()
COMMON = CommonSettings(identity_public_keys=PUBLIC_KEY)
THEN = datetime(2026, 1, 2, tzinfo=UTC)


class Seen:
    """Things that happened, in order; one can wait until there are enough of one kind."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._more = asyncio.Event()

    def add(self, what: str) -> None:
        self.all.append(what)
        self._more.set()

    async def until(self, what: str, times: int) -> None:
        async with asyncio.timeout(5):
            while self.all.count(what) < times:
                self._more.clear()
                await self._more.wait()


@dataclass
class Recollections:
    """What each user is known to have said. Everything is relevant to everything."""

    texts: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    away: bool = False
    asked_for: list[str | None] = field(default_factory=list)

    async def search(self, q: str, *, k: int = 5, user_id: str | None = None) -> MemorySearchAnswer:
        if self.away:
            raise no_answer(httpx.ConnectError("refused"))
        self.asked_for.append(user_id)
        principal = current_principal()
        texts = self.texts.get((principal.tenant, user_id or principal.subject), [])[:k]
        return MemorySearchAnswer(
            results=[MemoryHit(memory=_memory(n, text, principal), score=1) for n, text in enumerate(texts)]
        )


@dataclass
class Metrics:
    recorded: list[tuple[str, NewMetric]] = field(default_factory=list)
    away: bool = False
    asked: Seen = field(default_factory=Seen)

    async def record(self, metric: NewMetric) -> Recorded:
        self.asked.add(metric.name)
        if self.away:
            raise no_answer(httpx.ConnectError("refused"))
        self.recorded.append((current_principal().subject, metric))
        return Recorded()


class Line(httpx.AsyncBaseTransport):
    """The way to a service in process; it can be cut."""

    def __init__(self, app: FastAPI) -> None:
        self._inner = httpx.ASGITransport(app)
        self.cut = False
        self.requests = Seen()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.cut:
            raise httpx.ConnectError("refused", request=request)
        self.requests.add(f"{request.method} {request.url.path}")
        return await self._inner.handle_async_request(request)


class Ahead:
    """The time of day, and as far ahead of it as it is put."""

    by = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by


@dataclass
class World:
    catalogue: RegistryClient
    conversations: SessionsClient
    recollections: Recollections
    metrics: Metrics
    to_registry: Line
    to_sessions: Line
    sessions_time: "Ahead"

    @property
    def neighbours(self) -> Neighbours:
        return Neighbours(self.catalogue, self.conversations, self.recollections, self.metrics, {})

    async def register(self, *agents: RegisterAgent, tenant: str = "acme") -> None:
        with acting_as(Principal(tenant, "root", scopes=frozenset({ADMIN}))):
            for agent in agents:
                await self.catalogue.register(agent)

    async def register_tools(self, *tools: RegisterTool, tenant: str = "acme") -> None:
        """Each is asked what it offers before this returns."""
        with acting_as(Principal(tenant, "root", scopes=frozenset({ADMIN}))):
            for tool in tools:
                await self.catalogue.tools.register(tool)
                await self.catalogue.tools.refresh(tool.name)


@asynccontextmanager
async def world(registry_settings: RegistrySettings | None = None) -> AsyncIterator[World]:
    registry_app = registry.create_app(
        registry_settings or RegistrySettings(common=COMMON), open_store=_memory_registry
    )
    time = Ahead()
    sessions_app = sessions.create_app(SessionsSettings(common=COMMON), store=MemorySessionStore(), clock=time)
    to_registry, to_sessions = Line(registry_app), Line(sessions_app)
    async with (
        registry_app.router.lifespan_context(registry_app),
        sessions_app.router.lifespan_context(sessions_app),
        _client(to_registry, "registry") as registry_client,
        _client(to_sessions, "sessions") as sessions_client,
    ):
        yield World(
            RegistryClient(Caller(registry_client, attempts=1)),
            SessionsClient(Caller(sessions_client, attempts=1)),
            Recollections(),
            Metrics(),
            to_registry,
            to_sessions,
            time,
        )


@asynccontextmanager
async def _memory_registry() -> AsyncIterator[MemoryStore]:
    yield MemoryStore()


class _OnBehalf(httpx.Auth):
    def __init__(self, audience: str) -> None:
        self._signer, self._audience = PrincipalSigner(PRIVATE_KEY, "runtime"), audience

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        request.headers[PRINCIPAL_HEADER] = self._signer.sign(current_principal(), self._audience)
        request.headers.update(outgoing_headers())
        yield request


def _client(line: Line, audience: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=line, base_url="http://service", auth=_OnBehalf(audience))


def _memory(number: int, text: str, principal: Principal) -> Memory:
    return Memory(
        memory_id=f"mem-{number}", tenant=principal.tenant, user_id=principal.subject, text=text, kind=MemoryKind.FACT,
        metadata={}, importance=0.5, valid_from=THEN, embedding_model="none", created_at=THEN, updated_at=THEN,
    )  # fmt: skip
