"""Agents' health and cards over HTTP: what each route answers, to whom, and how it refuses."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from bureau_contracts.registry import AgentRecord, Availability
from kit.identity import ADMIN, Principal, PrincipalKind, generate_keypair
from kit.settings import CommonSettings
from services.registry.app import create_app
from services.registry.health import Card, Looked
from services.registry.settings import Settings
from services.registry.store import RegistryStore
from services.registry.store_memory import MemoryStore
from tests.fakes import FixedClock
from tests.http import service_client

PRIVATE, PUBLIC = generate_keypair()
ACME = Principal("acme", "ann", scopes=frozenset({"registry:write"}))
READER = Principal("acme", "ben")
RUNTIME = Principal("acme", "runtime", PrincipalKind.SERVICE, frozenset({"registry:report"}))
GLOBEX = Principal("globex", "gil", scopes=frozenset({ADMIN}))

As = Callable[[Principal | None], httpx.AsyncClient]
CARD = {"name": "Remote", "url": "http://far/", "something": "of its own"}


async def look(agent: AgentRecord, known: Card | None) -> Looked:
    if agent.a2a is not None:
        return Looked(Availability.AVAILABLE, "", Card(CARD, "", FixedClock().now()))
    return Looked(Availability.UNAVAILABLE, "it cannot be reached (ConnectError)")


@pytest.fixture
async def client_of() -> AsyncIterator[As]:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[RegistryStore]:
        yield MemoryStore()

    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings, open_store=open_store, clock=FixedClock(), look=look)
    async with app.router.lifespan_context(app):
        yield lambda principal: service_client(app, principal, "registry", PRIVATE)


@pytest.fixture
async def client(client_of: As) -> httpx.AsyncClient:
    client = client_of(ACME)
    for agent in (
        {"name": "far", "a2a": "http://far/"},
        {"name": "near", "factory_module": "m", "factory_function": "f", "description": "Helps."},
        {"name": "web", "http": "http://web/turn", "owner": "acme"},
    ):
        assert (await client.post("/registry/agents", json=agent)).status_code == 201
    return client


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    assert response.json()["trace_id"] == response.headers["x-trace-id"]


async def test_remote_agents_are_looked_at_and_their_health_is_shown(client: httpx.AsyncClient) -> None:
    health = (await client.post("/registry/agents/web/retry")).json()
    assert health["availability"] == "unavailable"
    assert health["reason"] == "it cannot be reached (ConnectError)"
    assert health["revision"] == 1
    assert (await client.get("/registry/agents/web")).json()["health"] == health
    listed = {agent["name"]: agent["health"] for agent in (await client.get("/registry/agents")).json()["agents"]}
    assert listed["web"] == health
    assert listed["near"]["availability"] == "unknown"


async def test_a_runtime_reports_what_it_could_build(client: httpx.AsyncClient, client_of: As) -> None:
    report = {"revision": 1, "availability": "unavailable", "reason": "no module m"}
    response = await client_of(RUNTIME).put("/registry/agents/near/health", json=report)
    assert (response.status_code, response.json()["reason"]) == (200, "no module m")
    assert (await client.get("/registry/agents/near")).json()["health"] == response.json()
    late = await client_of(RUNTIME).put(
        "/registry/agents/near/health", json={"revision": 9, "availability": "available"}
    )
    assert late.json() == response.json()
    retried = await client.post("/registry/agents/near/retry")
    assert retried.json()["availability"] == "unknown"


async def test_a_card_is_made_from_the_record_or_is_the_agents_own(client: httpx.AsyncClient, client_of: As) -> None:
    near = await client_of(READER).get("/registry/agents/near/card")
    assert (near.json()["name"], near.json()["description"]) == ("near", "Helps.")
    assert near.json()["supportedInterfaces"] == []
    assert "last-modified" not in near.headers
    await client.post("/registry/agents/far/retry")
    far = await client_of(READER).get("/registry/agents/far/card")
    assert far.json() == CARD
    assert far.headers["last-modified"] == "Fri, 02 Jan 2026 03:04:05 GMT"


REPORT = {"revision": 1, "availability": "available"}
CALLS: list[tuple[str, str, Any]] = [
    ("PUT", "health", REPORT),
    ("POST", "retry", None),
    ("GET", "card", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_nobody_another_tenant_and_unknown_names_are_refused(
    client: httpx.AsyncClient, client_of: As, method: str, path: str, body: Any
) -> None:
    refused = await client_of(None).request(method, f"/registry/agents/web/{path}", json=body)
    assert_problem(refused, 401, "unauthenticated")
    foreign = await client_of(GLOBEX).request(method, f"/registry/agents/web/{path}", json=body)
    assert_problem(foreign, 404, "agent_not_found")
    unknown = await client_of(GLOBEX).request(method, f"/registry/agents/none/{path}", json=body)
    assert_problem(unknown, 404, "agent_not_found")


@pytest.mark.parametrize(("method", "path", "body"), CALLS[:2])
async def test_reporting_and_retrying_need_their_scopes(
    client: httpx.AsyncClient, client_of: As, method: str, path: str, body: Any
) -> None:
    response = await client_of(READER).request(method, f"/registry/agents/near/{path}", json=body)
    assert_problem(response, 403, "scope_missing")
    assert (await client.get("/registry/agents/near")).json()["health"]["availability"] == "unknown"


@pytest.mark.parametrize(
    "body", [{}, {"revision": "x", "availability": "available"}, {"revision": 1, "availability": "fine"}, [], "x"]
)
async def test_a_wrong_report_is_refused(client: httpx.AsyncClient, client_of: As, body: Any) -> None:
    assert_problem(await client_of(RUNTIME).put("/registry/agents/near/health", json=body), 422, "invalid")


async def test_a_malformed_report_is_refused(client: httpx.AsyncClient, client_of: As) -> None:
    headers = {"content-type": "application/json"}
    response = await client_of(RUNTIME).put("/registry/agents/near/health", content=b"{", headers=headers)
    assert_problem(response, 400, "malformed_json")
