"""The runtime's tools: what is listed, what a call answers, what never runs, and whom it refuses."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.risk import Risk
from bureau_contracts.runtime import ToolCalled
from bureau_contracts.tools import RegisterTool, ToolPatch, ToolSource
from kit.identity import ADMIN, Principal, acting_as
from services.runtime.app import create_app
from services.runtime.settings import Settings
from tests.http import service_client
from tests.runtime_neighbours import COMMON, PRIVATE_KEY, World, world
from tests.servers import serving
from tests.tool_target import Target
from tests.unit.runtime import agents_for_tests, tools_for_tests
from tests.unit.runtime.agents_for_tests import BROKEN, PARCELS, PREFIX, record

ADA = Principal("acme", "ada")
ROOT = Principal("acme", "root", scopes=frozenset({ADMIN}))
STRANGER = Principal("globex", "eve", scopes=frozenset({ADMIN}))
CAREFUL = record("careful", "parcels", autonomy_ceiling=AutonomyLevel.L1)
LISTED = record("listed", "parcels", tools=["list_parcels", "weather", "gone"])
OFF = record("off", "parcels", enabled=False)
EVERYTHING = record("everything", "misfits", factory_module=tools_for_tests.MODULE)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}


@dataclass
class Bench:
    app: FastAPI
    world: World
    target: Target
    url: str

    def client(self, principal: Principal | None = ADA) -> httpx.AsyncClient:
        return service_client(self.app, principal, "runtime", PRIVATE_KEY)

    async def register(self, name: str, path: str, tenant: str = "acme", **fields: Any) -> None:
        given = {"parameters": CITY, "source": "http", "url": f"{self.url}/{path}", **fields}
        await self.world.register_tools(RegisterTool.model_validate({"name": name, **given}), tenant=tenant)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    agents_for_tests.calls.clear()
    tools_for_tests.calls.clear()
    monkeypatch.setenv("BUREAU_SECRET_WEATHER", "Bearer s3cret")
    settings = Settings(common=COMMON, factory_prefixes=PREFIX, tool_timeout_seconds=0.3, call_result_chars=1000)
    target = Target()
    async with world() as around, serving(target) as url:
        app = create_app(settings, around.neighbours)
        async with app.router.lifespan_context(app):
            await around.register(PARCELS, BROKEN, CAREFUL, LISTED, OFF, EVERYTHING)
            bench = Bench(app, around, target, url)
            await bench.register("weather", "echo", headers={"Authorization": "env:BUREAU_SECRET_WEATHER"})
            yield bench


@pytest.fixture
async def ada(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async with bench.client() as client:
        yield client


async def call(client: httpx.AsyncClient, name: str, arguments: Any = None, **more: Any) -> ToolCalled:
    response = await client.post(f"/agent/tools/{name}/call", json={"arguments": arguments or {}, **more})
    assert response.status_code == 200, response.text
    answer = ToolCalled.model_validate_json(response.content)
    assert answer.trace_id == response.headers["x-trace-id"]
    return answer


async def refused(client: httpx.AsyncClient, name: str, arguments: Any = None, **more: Any) -> tuple[int, str]:
    return problem(await client.post(f"/agent/tools/{name}/call", json={"arguments": arguments or {}, **more}))


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["code"]


async def test_a_registered_tool_is_called_with_its_secret_and_the_callers_key(
    bench: Bench, ada: httpx.AsyncClient
) -> None:
    answer = await call(ada, "weather", {"city": "Ulm"}, idempotency_key="job-1:0")
    assert (answer.name, answer.agent, answer.status) == ("weather", "", "completed")
    assert (answer.risk, answer.repeatable, answer.idempotency_key) == (Risk.WRITE, False, "job-1:0")
    assert answer.result["body"] == {"city": "Ulm"}
    assert answer.result["headers"]["idempotency-key"] == "job-1:0"
    assert answer.result["headers"]["authorization"] == "***"
    assert (answer.error, answer.cut, answer.retry_after) == (None, False, None)


async def test_without_a_key_each_call_gets_one_of_its_own(bench: Bench, ada: httpx.AsyncClient) -> None:
    keys = [(await call(ada, "weather")).idempotency_key for _ in range(2)]
    assert bench.target.keys == keys
    assert len(set(keys)) == 2


async def test_an_agents_own_tool_is_called_for_whoever_asks(ada: httpx.AsyncClient) -> None:
    answer = await call(ada, "parcels/return_parcel", {"parcel_id": "P-7"}, idempotency_key="k-1")
    assert (answer.name, answer.agent, answer.status) == ("parcels/return_parcel", "parcels", "completed")
    assert answer.result == {"parcel_id": "P-7", "state": "returned"}
    assert agents_for_tests.calls == [("return_parcel", "ada", {"parcel_id": "P-7", "key": "k-1"})]
    for name, more in [("list_parcels", {"agent": "parcels"}), ("parcels%2Flist_parcels", {"agent": "parcels"})]:
        again = await call(ada, name, **more)
        assert (again.name, again.risk, again.repeatable) == ("parcels/list_parcels", Risk.READ, True)


async def test_a_name_means_one_tool(bench: Bench, ada: httpx.AsyncClient) -> None:
    """An agent may bring a tool that has a registered one's name."""
    assert (await call(ada, "weather", agent="everything")).result == "its own"
    assert (await call(ada, "everything/weather")).result == "its own"
    assert (await call(ada, "weather")).result["method"] == "POST"
    assert (await call(ada, "weather", agent="listed")).result["method"] == "POST"
    assert await refused(ada, "parcels/list_parcels", agent="listed") == (422, "agent_differs")


@pytest.mark.parametrize(
    ("level", "risk", "runs"),
    [
        ("L0", "read", False),
        ("L1", "read", True),
        ("L1", "write", False),
        ("L2", "write", True),
        ("L2", "critical", False),
        (None, "critical", False),
        (None, "write", True),
        ("L3", "critical", True),
    ],
)
async def test_what_the_level_does_not_allow_is_not_sent(
    bench: Bench, ada: httpx.AsyncClient, level: str | None, risk: str, runs: bool
) -> None:
    await bench.register("tool", "text", risk=risk)
    more = {} if level is None else {"autonomy_level": level}
    if runs:
        assert (await call(ada, "tool", **more)).result == "it rains"
    else:
        assert await refused(ada, "tool", **more) == (403, "approval_needed")
    assert bench.target.calls["text"] == runs


async def test_an_agents_own_tool_is_held_to_the_level_too(ada: httpx.AsyncClient) -> None:
    assert await refused(ada, "parcels/destroy_parcel", {"parcel_id": "P-7"}) == (403, "approval_needed")
    assert agents_for_tests.calls == []


async def test_the_agents_ceiling_holds_whatever_is_asked_for(ada: httpx.AsyncClient) -> None:
    named = {"parcel_id": "P-7"}
    assert await refused(ada, "careful/return_parcel", named, autonomy_level="L3") == (403, "approval_needed")
    assert agents_for_tests.calls == []


async def test_a_tenants_own_word_of_the_risk_wins_for_it_alone(bench: Bench, ada: httpx.AsyncClient) -> None:
    await bench.register("shared", "text", risk="read")
    with acting_as(STRANGER):
        await bench.world.catalogue.tools.set_risks("shared", {"shared": Risk.CRITICAL})
    async with bench.client(STRANGER) as eve:
        assert await refused(eve, "shared", autonomy_level="L2") == (403, "approval_needed")
        assert (await call(eve, "shared", autonomy_level="L3")).risk is Risk.CRITICAL
    assert (await call(ada, "shared", autonomy_level="L1")).risk is Risk.READ


async def test_the_agents_allow_list_holds(bench: Bench, ada: httpx.AsyncClient) -> None:
    assert (await call(ada, "listed/list_parcels")).status == "completed"
    assert (await call(ada, "weather", agent="listed")).agent == "listed"
    assert await refused(ada, "listed/return_parcel", {"parcel_id": "P-7"}) == (404, "tool_not_found")
    assert await refused(ada, "return_parcel", {"parcel_id": "P-7"}, agent="listed") == (403, "tool_not_allowed")
    assert await refused(ada, "weather", agent="parcels") == (403, "tool_not_allowed")
    assert await refused(ada, "gone", agent="listed") == (404, "tool_not_found")
    assert agents_for_tests.calls == [("list_parcels", "ada", {"state": None})]


@pytest.mark.parametrize(
    "arguments", [{"city": 5}, {"city": ["Ulm"]}, {"town": "Ulm"}, {"city": None}, {"city": "Ulm", "__proto__": {}}]
)
async def test_arguments_that_do_not_fit_are_not_sent(bench: Bench, ada: httpx.AsyncClient, arguments: Any) -> None:
    assert await refused(ada, "weather", arguments) == (422, "arguments_invalid")
    assert not bench.target.calls


@pytest.mark.parametrize(
    "schema", [{"$ref": "#"}, {"type": 7}, {"$ref": "http://127.0.0.1:1/schema"}], ids=["circle", "nonsense", "remote"]
)
async def test_a_schema_that_cannot_be_checked_lets_nothing_through(
    bench: Bench, ada: httpx.AsyncClient, schema: Any
) -> None:
    await bench.register("odd", "text", parameters=schema)
    assert await refused(ada, "odd", {"a": 1}) == (409, "tool_unusable")
    assert not bench.target.calls


@pytest.mark.parametrize(
    ("status", "method", "told"),
    [
        (429, "POST", "try_later"),
        (503, "GET", "try_later"),
        (500, "POST", "unknown_outcome"),
        (500, "PUT", "try_later"),
        (404, "POST", "failed"),
    ],
)
async def test_a_failure_says_whether_to_try_again(
    bench: Bench, ada: httpx.AsyncClient, capsys: pytest.CaptureFixture[str], status: int, method: str, told: str
) -> None:
    secret = {"Authorization": "env:BUREAU_SECRET_WEATHER"}
    await bench.register("no", f"refuses?status={status}", method=method, headers=secret)
    answer = await call(ada, "no")
    assert (answer.status, answer.result) == (told, None)
    assert answer.error == f"it answers {status}: *** may not"
    assert answer.retry_after == (7 if status in (429, 503) else None)
    assert answer.repeatable == (method != "POST")
    assert bench.target.calls["refuses"] == 1
    logged = capsys.readouterr().out
    assert f"status={told} tool=no" in logged
    assert "s3cret" not in logged


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "unknown_outcome"),
        ({"idempotent": True}, "try_later"),
        ({"risk": "read"}, "try_later"),
        ({"method": "PUT"}, "try_later"),
        ({"method": "PUT", "idempotent": False}, "unknown_outcome"),
    ],
)
async def test_a_call_without_an_answer_is_repeated_only_when_it_may_be(
    bench: Bench, ada: httpx.AsyncClient, fields: dict[str, Any], told: str
) -> None:
    await bench.register("slow", "slow", **fields)
    answer = await call(ada, "slow")
    assert (answer.status, answer.error) == (told, "no answer within 0.3 s")


@pytest.mark.parametrize(
    ("name", "told", "reason"),
    [
        ("slow_read", "try_later", "no answer within 0.3 s"),
        ("slow_set", "try_later", "no answer within 0.3 s"),
        ("slow_write", "unknown_outcome", "no answer within 0.3 s"),
        ("torn", "unknown_outcome", "the line broke"),
        ("declines", "failed", "the till is closed"),
    ],
)
async def test_an_agents_own_tool_goes_wrong_in_the_same_ways(
    ada: httpx.AsyncClient, name: str, told: str, reason: str
) -> None:
    answer = await call(ada, f"everything/{name}", idempotency_key="k")
    assert (answer.status, answer.error) == (told, reason)
    assert tools_for_tests.calls == [(name, "ada", "k")]


async def test_a_result_that_is_too_long_is_cut_and_says_so(bench: Bench, ada: httpx.AsyncClient) -> None:
    await bench.register("rows", "rows")
    answer = await call(ada, "rows")
    assert (answer.status, answer.cut) == ("completed", True)
    assert answer.result["cut"] == f"the first {len(answer.result['rows'])} of 10000"
    await bench.register("huge", "huge")
    huge = await call(ada, "huge")
    assert (huge.status, huge.cut, len(huge.result)) == ("completed", True, 1000)


async def test_what_is_switched_off_is_not_called(bench: Bench, ada: httpx.AsyncClient) -> None:
    with acting_as(ROOT):
        await bench.world.catalogue.tools.update("weather", ToolPatch(enabled=False))
    assert await refused(ada, "weather") == (409, "tool_disabled")
    assert await refused(ada, "off/list_parcels") == (409, "agent_disabled")
    assert await refused(ada, "broken/forecast") == (409, "agent_unavailable")
    assert not bench.target.calls
    assert agents_for_tests.calls == []


async def test_a_server_that_was_not_heard_of_yet_is_to_be_asked_later(bench: Bench, ada: httpx.AsyncClient) -> None:
    away = {"source": ToolSource.MCP_HTTP, "url": "http://127.0.0.1:1/mcp"}
    await bench.world.register_tools(RegisterTool.model_validate({"name": "files", **away}))
    response = await ada.post("/agent/tools/files.read/call", json={})
    assert problem(response) == (503, "tools_not_listed")
    assert "retry-after" in response.headers


@pytest.mark.parametrize("who", [ADA, ROOT], ids=["user", "admin"])
async def test_another_tenants_tools_are_not_there(bench: Bench, who: Principal) -> None:
    await bench.register("theirs", "text", tenant="globex", owner="globex")
    await bench.world.register(record("their_agent", "parcels", owner="globex"), tenant="globex")
    async with bench.client(who) as other:
        assert await refused(other, "theirs") == (404, "tool_not_found")
        assert await refused(other, "their_agent/list_parcels") == (404, "agent_not_found")
        assert await refused(other, "weather", agent="their_agent") == (404, "agent_not_found")
        listed = {each["address"] for each in (await other.get("/agent/tools")).json()["tools"]}
    assert "weather" in listed
    assert not {"theirs", "their_agent/list_parcels"} & listed
    assert not bench.target.calls
    assert agents_for_tests.calls == []
    async with bench.client(STRANGER) as eve:
        assert (await call(eve, "theirs")).result == "it rains"


async def test_without_identity_there_is_no_answer(bench: Bench) -> None:
    async with bench.client(None) as nobody:
        assert await refused(nobody, "weather") == (401, "unauthenticated")
    assert not bench.target.calls


@pytest.mark.parametrize(
    "name", ["nothing", "weather.read", "nobody/tool", "parcels/none", "Ä", "..%2f..%2fchat", "a%20b"]
)
async def test_what_is_not_there_is_404(bench: Bench, ada: httpx.AsyncClient, name: str) -> None:
    status, code = await refused(ada, name)
    assert (status, code) in {(404, "tool_not_found"), (404, "agent_not_found")}
    assert not bench.target.calls


@pytest.mark.parametrize(
    "body",
    [
        {"arguments": []},
        {"arguments": "city"},
        {"autonomy_level": "L9"},
        {"agent": "Not A Name"},
        {"idempotency_key": ""},
        {"idempotency_key": "a\nb"},
        {"idempotency_key": "k" * 201},
        {"argument": {}},
        [],
    ],
)
async def test_a_call_of_the_wrong_shape_is_422(bench: Bench, ada: httpx.AsyncClient, body: Any) -> None:
    assert problem(await ada.post("/agent/tools/weather/call", json=body)) == (422, "invalid")
    assert not bench.target.calls


@pytest.mark.parametrize(
    "content", [b"{", b"\xff", b'{"arguments": {"a": 1, "a": 2}}', b'{"arguments": {"a": "\\u0000"}}']
)
async def test_malformed_json_is_400(bench: Bench, ada: httpx.AsyncClient, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = await ada.post("/agent/tools/weather/call", content=content, headers=headers)
    assert problem(response) == (400, "malformed_json")
    assert not bench.target.calls


async def test_without_the_registry_nothing_runs(bench: Bench, ada: httpx.AsyncClient) -> None:
    bench.world.to_registry.cut = True
    for name in ("weather", "parcels/list_parcels"):
        status, _ = await refused(ada, name)
        assert status == 503
    assert not bench.target.calls
    assert agents_for_tests.calls == []
    for params in ({}, {"agent": "listed"}):
        assert (await ada.get("/agent/tools", params=params)).status_code == 503


async def test_a_registry_that_goes_away_half_way_is_said_to_be_away(
    bench: Bench, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    through = bench.world.to_registry.handle_async_request

    async def no_tool(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/registry/tools/"):
            raise httpx.ConnectError("refused", request=request)
        return await through(request)

    monkeypatch.setattr(bench.world.to_registry, "handle_async_request", no_tool)
    for params in ({}, {"agent": "listed"}):
        assert (await ada.get("/agent/tools", params=params)).status_code == 503
    assert (await refused(ada, "weather"))[0] == 503


async def test_the_list_names_what_can_be_called_and_how(bench: Bench, ada: httpx.AsyncClient) -> None:
    await bench.register("off_tool", "text", enabled=False)
    everything = (await ada.get("/agent/tools")).json()["tools"]
    by_address = {each["address"]: each for each in everything}
    assert by_address["weather"] == {
        "name": "weather", "description": "", "risk": "write", "parameters": CITY, "agent": "", "source": "http",
        "address": "weather", "repeatable": False,
    }  # fmt: skip
    assert by_address["parcels/list_parcels"]["repeatable"]
    assert by_address["everything/slow_set"]["repeatable"]
    assert not by_address["everything/slow_write"]["repeatable"]
    assert "off_tool" not in by_address
    listed = (await ada.get("/agent/tools", params={"agent": "listed"})).json()["tools"]
    assert [(each["address"], each["agent"]) for each in listed] == [
        ("listed/list_parcels", "listed"),
        ("weather", "listed"),
    ]
    plain = {each["name"] for each in (await ada.get("/agent/tools", params={"agent": "parcels"})).json()["tools"]}
    assert "weather" not in plain, "no list allows nothing but what it brings"
