"""Which requests reach which service, and that they arrive as they were sent."""

import json

import pytest

from bureau_contracts.problems import Problem
from tests.contract.http.gateway.world import World
from tests.servers import raw_exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_request_reaches_the_service_that_its_path_names(world: World) -> None:
    async with world.client() as client:
        registry = await client.get("/registry/agents", params={"limit": "3"})
        runtime = await client.get("/agent/plans")
        sessions = await client.get("/sessions/plain")
    assert (registry.json()["path"], registry.json()["query"]) == ("/registry/agents", "limit=3")
    assert runtime.json()["path"] == "/agent/plans"
    assert sessions.text == "ok"
    assert len(world.raw.requests) == 1


@pytest.mark.parametrize("path", ["/nothing", "/registryx/agents", "/Registry/agents", "/registry.json"])
async def test_a_path_that_no_service_owns_is_not_found(world: World, path: str) -> None:
    async with world.client() as client:
        answer = await client.get(path)
    problem = Problem.model_validate_json(answer.content)
    assert (answer.status_code, problem.code, problem.trace_id) == (404, "no_route", answer.headers["x-trace-id"])


@pytest.mark.parametrize(
    "target",
    [
        "/registry/a%20b/%C3%A4?q=%zz&x='\"<>|&&=&a=b?c=d",
        "/registry/~tilde;v=1/a:b@c,d!$()*+",
        "/registry/%E2%82%AC/%7Ex/...hidden/a..b",
        "/registry/agents/",
    ],
)
async def test_path_and_query_arrive_byte_for_byte(world: World, target: str) -> None:
    answer = await raw_exchange(world.url, world.head(target, "Host: x"))
    got = json.loads(answer.partition(b"\r\n\r\n")[2])
    path, _, query = target.partition("?")
    assert (got["path"], got["query"]) == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        "/registry/../sessions/x",
        "/registry/./x",
        "/registry/..",
        "/registry/%2e%2e/sessions/x",
        "/registry/.%2E/sessions/x",
        "/registry//x",
        "//registry/x",
        "/registry/a%2Fb",
        "/registry/a%5cb",
        "/registry/a\\b",
        "/registry/%00",
        "/registry/%0d%0aX: y",
        "/registry/%zz",
        "/registry/%",
        "/registry/%ff",
    ],
)
async def test_an_ambiguous_path_is_refused_and_reaches_nobody(world: World, target: str) -> None:
    answer = await raw_exchange(world.url, world.head(target, "Host: x"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert world.service.calls == 0
    assert world.raw.requests == []


async def test_the_form_of_target_that_proxies_are_sent_means_the_same(world: World) -> None:
    answer = await raw_exchange(world.url, world.head("http://elsewhere/registry/agents?a=1", "Host: x"))
    got = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (got["path"], got["query"]) == ("/registry/agents", "a=1")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_passes(world: World, method: str) -> None:
    async with world.client() as client:
        answer = await client.request(method, "/registry/agents")
    assert answer.json()["method"] == method


async def test_head_answers_headers_and_no_body(world: World) -> None:
    async with world.client() as client:
        answer = await client.head("/registry/agents")
        # The connection is still in step: the next answer is the next request's.
        again = await client.get("/registry/agents")
    assert int(answer.headers["content-length"]) > 0
    assert answer.content == b""
    assert again.json()["method"] == "GET"


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_stays_without_one(world: World, status: int) -> None:
    async with world.client() as client:
        answer = await client.get(f"/registry/empty?{status}")
        again = await client.get("/registry/agents")
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (status, b"", '"1"')
    assert "transfer-encoding" not in answer.headers
    assert again.status_code == 200
