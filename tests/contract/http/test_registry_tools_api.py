"""The registry's tool routes: what each answers, to whom, and how it refuses."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from bureau_contracts.risk import Risk
from bureau_contracts.tools import ToolRecord
from kit.identity import ADMIN, Principal, generate_keypair
from kit.settings import CommonSettings
from services.registry.app import create_app
from services.registry.listing import NotListed, Offer, Offers
from services.registry.settings import Settings
from services.registry.store import RegistryStore
from services.registry.store_memory import MemoryStore
from tests.fakes import FixedClock
from tests.http import service_client

PRIVATE, PUBLIC = generate_keypair()
ACME = Principal("acme", "ann", scopes=frozenset({"registry:write"}))
READER = Principal("acme", "ben")
GLOBEX = Principal("globex", "gil", scopes=frozenset({ADMIN}))

As = Callable[[Principal | None], httpx.AsyncClient]


async def offers(record: ToolRecord) -> Offers:
    if "broken" in str(record.url):
        raise NotListed("it cannot be reached (ConnectError)")
    return Offers((Offer("read", "Reads.", {"type": "object"}, Risk.READ), Offer("drop", risk=Risk.CRITICAL)))


@pytest.fixture
async def client_of() -> AsyncIterator[As]:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[RegistryStore]:
        yield MemoryStore()

    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings, open_store=open_store, clock=FixedClock(), read_offers=offers)
    async with app.router.lifespan_context(app):
        yield lambda principal: service_client(app, principal, "registry", PRIVATE)


@pytest.fixture
def client(client_of: As) -> httpx.AsyncClient:
    return client_of(ACME)


def files(**fields: Any) -> dict[str, Any]:
    said = {"name": "files", "source": "mcp_http", "url": "http://files/mcp", "description": "Files."}
    return said | {"headers": {"Authorization": "env:BUREAU_SECRET_FILES"}} | fields


def weather(**fields: Any) -> dict[str, Any]:
    said = {"name": "weather", "source": "http", "url": "http://weather/now", "method": "GET"}
    return said | {"parameters": {"type": "object", "properties": {"city": {"type": "string"}}}} | fields


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    assert response.json()["trace_id"] == response.headers["x-trace-id"]


def risks(response: httpx.Response) -> dict[str, tuple[str, str]]:
    assert response.status_code == 200, response.text
    return {tool["name"]: (tool["risk"], tool["risk_from"]) for tool in response.json()["listing"]["tools"]}


async def test_a_source_is_registered_asked_and_read_back(client: httpx.AsyncClient) -> None:
    response = await client.post("/registry/tools", json=files())
    assert response.status_code == 201
    assert response.json() == {"status": "registered", "tool_name": "files", "revision": 1}
    assert response.headers["etag"] == '"1"'
    refreshed = await client.post("/registry/tools/files/refresh")
    assert risks(refreshed) == {"files.read": ("read", "annotation"), "files.drop": ("critical", "annotation")}
    assert refreshed.json()["listing"]["tools"][0]["parameters"] == {"type": "object"}
    read = await client.get("/registry/tools/files")
    assert read.json() == refreshed.json()
    assert read.headers["etag"] == '"1"'
    assert read.json()["headers"] == {"Authorization": "env:BUREAU_SECRET_FILES"}
    assert read.json()["updated_by"] == "acme/ann"


async def test_an_http_tool_is_its_own_listing(client: httpx.AsyncClient) -> None:
    await client.post("/registry/tools", json=weather())
    response = await client.post("/registry/tools/weather/refresh")
    assert risks(response) == {"weather": ("write", "default")}
    assert response.json()["listing"]["tools"][0]["parameters"] == weather()["parameters"]


async def test_a_source_that_does_not_answer_is_registered_and_says_why(client: httpx.AsyncClient) -> None:
    await client.post("/registry/tools", json=files(url="http://broken/mcp"))
    listing = (await client.post("/registry/tools/files/refresh")).json()["listing"]
    assert listing == {"tools": [], "listed_at": None, "error": "it cannot be reached (ConnectError)"}


async def test_sources_are_listed_by_name_page_by_page_without_parameters(client: httpx.AsyncClient) -> None:
    await client.post("/registry/tools", json=weather())
    await client.post("/registry/tools", json=files())
    await client.post("/registry/tools/files/refresh")
    first = (await client.get("/registry/tools", params={"limit": 1})).json()
    assert (first["total"], [tool["name"] for tool in first["tools"]]) == (2, ["files"])
    assert first["tools"][0]["listing"]["tools"][0]["parameters"] == {}
    second = (await client.get("/registry/tools", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert ([tool["name"] for tool in second["tools"]], second["next_cursor"]) == (["weather"], None)
    found = (await client.get("/registry/tools", params={"q": "FILES."})).json()
    assert [tool["name"] for tool in found["tools"]] == ["files"]


async def test_a_patch_changes_what_it_names_and_nothing_makes_no_revision(client: httpx.AsyncClient) -> None:
    await client.post("/registry/tools", json=files())
    response = await client.patch("/registry/tools/files", json={"risk": "critical"}, headers={"If-Match": '"1"'})
    assert (response.json()["risk"], response.json()["revision"]) == ("critical", 2)
    assert response.headers["etag"] == '"2"'
    again = await client.patch("/registry/tools/files", json={"risk": "critical"})
    assert again.json()["revision"] == 2
    cleared = await client.patch("/registry/tools/files", json={"risk": None, "risks": {"drop": "write"}})
    assert cleared.json()["risk"] is None
    assert risks(await client.post("/registry/tools/files/refresh"))["files.drop"] == ("write", "override")


async def test_a_stale_writer_is_refused(client: httpx.AsyncClient) -> None:
    await client.post("/registry/tools", json=files())
    stale = {"If-Match": '"7"'}
    for response in (
        await client.patch("/registry/tools/files", json={"enabled": False}, headers=stale),
        await client.put("/registry/tools/files/risks", json={"risks": {}}, headers=stale),
        await client.delete("/registry/tools/files", headers=stale),
    ):
        assert_problem(response, 412, "revision_changed")


async def test_each_tenant_overrides_risks_for_itself_and_sees_nobody_elses(client_of: As) -> None:
    ann, gil = client_of(ACME), client_of(GLOBEX)
    await ann.post("/registry/tools", json=files())
    await ann.post("/registry/tools/files/refresh")
    mine = await ann.put("/registry/tools/files/risks", json={"risks": {"read": "critical"}})
    assert risks(mine)["files.read"] == ("critical", "tenant")
    theirs = await gil.put("/registry/tools/files/risks", json={"risks": {"drop": "read"}})
    assert risks(theirs) == {"files.read": ("read", "annotation"), "files.drop": ("read", "tenant")}
    assert theirs.json()["tenant_risks"] == {"globex": {"drop": "read"}}
    read = await ann.get("/registry/tools/files")
    assert read.json()["tenant_risks"] == {"acme": {"read": "critical"}}
    assert "globex" not in read.text
    assert "globex" not in (await ann.get("/registry/tools")).text
    await gil.put("/registry/tools/files/risks", json={"risks": {}})
    assert risks(await gil.get("/registry/tools/files"))["files.drop"] == ("critical", "annotation")
    assert risks(await ann.get("/registry/tools/files"))["files.read"] == ("critical", "tenant")


async def test_a_deleted_source_is_gone_and_its_name_goes_on_counting(client: httpx.AsyncClient) -> None:
    await client.post("/registry/tools", json=files())
    assert (await client.delete("/registry/tools/files")).json()["status"] == "deleted"
    assert_problem(await client.get("/registry/tools/files"), 404, "tool_not_found")
    await client.post("/registry/tools", json=files())
    assert (await client.get("/registry/tools/files")).json()["revision"] > 1


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/registry/tools/files", None),
    ("PATCH", "/registry/tools/files", {"enabled": False}),
    ("DELETE", "/registry/tools/files", None),
    ("PUT", "/registry/tools/files/risks", {"risks": {"read": "read"}}),
    ("POST", "/registry/tools/files/refresh", None),
]
EVERY = [*CALLS, ("GET", "/registry/tools", None), ("POST", "/registry/tools", files())]


@pytest.mark.parametrize(("method", "path", "body"), EVERY)
async def test_nobody_is_refused(client_of: As, method: str, path: str, body: Any) -> None:
    assert_problem(await client_of(None).request(method, path, json=body), 401, "unauthenticated")


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_another_tenants_source_does_not_exist(client_of: As, method: str, path: str, body: Any) -> None:
    await client_of(ACME).post("/registry/tools", json=files(owner="acme"))
    before = (await client_of(ACME).get("/registry/tools/files")).json()
    assert_problem(await client_of(GLOBEX).request(method, path, json=body), 404, "tool_not_found")
    listed = (await client_of(GLOBEX).get("/registry/tools")).json()
    assert (listed["tools"], listed["total"]) == ([], 0)
    after = (await client_of(ACME).get("/registry/tools/files")).json()
    assert {**after, "listing": None} == {**before, "listing": None}


@pytest.mark.parametrize(("method", "path", "body"), [call for call in EVERY if call[0] != "GET"])
async def test_changes_need_the_scope(client_of: As, method: str, path: str, body: Any) -> None:
    await client_of(ACME).post("/registry/tools", json=files())
    assert_problem(await client_of(READER).request(method, path, json=body), 403, "scope_missing")
    assert risks(await client_of(READER).get("/registry/tools/files")) is not None


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_an_unknown_name_is_404(client: httpx.AsyncClient, method: str, path: str, body: Any) -> None:
    assert_problem(await client.request(method, path, json=body), 404, "tool_not_found")


async def test_a_taken_name_is_refused_whoever_holds_it(client_of: As) -> None:
    await client_of(ACME).post("/registry/tools", json=files(owner="acme"))
    assert_problem(await client_of(GLOBEX).post("/registry/tools", json=files()), 409, "tool_exists")
    response = await client_of(GLOBEX).post("/registry/tools", json=weather(owner="acme"))
    assert_problem(response, 403, "other_tenant")


@pytest.mark.parametrize(
    "body",
    [
        files(url=None),
        files(command=["server"]),
        files(parameters={}),
        files(headers={"Authorization": "Bearer a-secret-itself"}),
        files(headers={"Authorization": "file:relative"}),
        files(url="ftp://files"),
        files(risk="none"),
        files(name="Files"),
        files(typo=1),
        weather(parameters=None),
        weather(method="TRACE"),
        {"name": "x", "source": "mcp_stdio", "command": []},
        {"name": "x", "source": "mcp_stdio", "url": "http://x"},
        {"name": "x", "source": "carrier pigeon"},
        [],
    ],
)
async def test_a_wrong_record_is_refused(client: httpx.AsyncClient, body: Any) -> None:
    assert_problem(await client.post("/registry/tools", json=body), 422, "invalid")
    assert (await client.get("/registry/tools")).json()["total"] == 0


@pytest.mark.parametrize("patch", [{"url": None}, {"command": ["x"]}, {"parameters": {}}, {"enabled": None}])
async def test_a_patch_that_leaves_no_valid_record_is_refused(client: httpx.AsyncClient, patch: Any) -> None:
    await client.post("/registry/tools", json=files())
    assert_problem(await client.patch("/registry/tools/files", json=patch), 422, "invalid")
    assert (await client.get("/registry/tools/files")).json()["revision"] == 1


async def test_malformed_bodies_and_names_are_refused(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    assert_problem(await client.post("/registry/tools", content=b"{", headers=headers), 400, "malformed_json")
    assert_problem(await client.get("/registry/tools/%00"), 422, "invalid")
    assert_problem(await client.get("/registry/tools", params={"cursor": "?"}), 422, "invalid_cursor")


async def test_without_a_list_of_commands_none_is_started_and_the_listing_says_so() -> None:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[RegistryStore]:
        yield MemoryStore()

    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings, open_store=open_store, clock=FixedClock())
    async with app.router.lifespan_context(app):
        client = service_client(app, ACME, "registry", PRIVATE)
        await client.post("/registry/tools", json={"name": "sh", "source": "mcp_stdio", "command": ["sh", "-c", "id"]})
        listing = (await client.post("/registry/tools/sh/refresh")).json()["listing"]
        assert "REGISTRY_MCP_COMMANDS" in listing["error"]
        assert (await client.get("/health")).json()["capabilities"]["mcp"] == "installed"
