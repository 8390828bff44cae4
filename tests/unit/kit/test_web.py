"""What every service has around its routes: identity, strict bodies, problem documents, traces, health."""

import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from bureau_contracts.problems import Problem
from bureau_contracts.shapes import Request as RequestModel
from kit import strict_json
from kit.errors import Conflict, TooMany
from kit.health import Check, Degraded
from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalSigner, generate_keypair
from kit.settings import CommonSettings, ServerSettings
from kit.web import PrincipalDep, build_app, router

PRIVATE, PUBLIC = generate_keypair()
SIGNER = PrincipalSigner(PRIVATE, "gateway")
JSON = {"content-type": "application/json"}
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Settings(ServerSettings):
    prefix = "SHOP_"
    port: int = 8099


class Order(RequestModel):
    item: str
    count: int = 1


class Foreign(Exception):
    pass


routes = router("/orders", "orders")


@routes.post("")
async def place(order: Order, principal: PrincipalDep) -> dict[str, object]:
    return {"item": order.item, "by": principal.subject}


@routes.get("/boom")
async def boom() -> dict[str, str]:
    raise RuntimeError("password=hunter2")


@routes.get("/taken")
async def taken() -> dict[str, str]:
    raise Conflict("somebody was faster", code="order_taken")


@routes.get("/busy")
async def busy() -> dict[str, str]:
    raise TooMany("come back", retry_after=2.4)


@routes.get("/foreign")
async def foreign() -> dict[str, str]:
    raise Foreign


async def away() -> str:
    raise ConnectionError("db at 10.0.0.1 refused")


async def odd() -> str:
    raise Degraded("set appendonly yes")


async def fine() -> str:
    return ""


def app_with(checks: dict[str, Check] | None = None) -> FastAPI:
    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield

    common = CommonSettings(identity_public_keys=PUBLIC, max_body_bytes=1024)
    return build_app(
        service="shop", settings=Settings(common=common), routers=[routes], lifespan=life, checks=checks,
        errors={Foreign: lambda _: Conflict("theirs", code="foreign")},
    )  # fmt: skip


@pytest.fixture
async def stranger() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app_with())
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client


@pytest.fixture
def client(stranger: httpx.AsyncClient) -> httpx.AsyncClient:
    """With an identity, signed just now: it lives for a minute."""
    stranger.headers[PRINCIPAL_HEADER] = SIGNER.sign(Principal("acme", "ada"), "shop")
    return stranger


def problem_of(response: httpx.Response) -> Problem:
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(response.content)
    assert problem.status == response.status_code
    assert problem.trace_id == response.headers["x-trace-id"]
    return problem


async def test_a_request_with_a_principal_is_answered(client: httpx.AsyncClient) -> None:
    response = await client.post("/orders", json={"item": "pen"})
    assert (response.status_code, response.json()) == (200, {"item": "pen", "by": "ada"})


@pytest.mark.parametrize("path", ["/orders", "/orders/taken", "/nowhere", "/docs", "/health/"])
@pytest.mark.parametrize(
    "headers",
    [{}, {PRINCIPAL_HEADER: "x"}, {"authorization": "Bearer bk_1_2"}, {"authorization": "Basic YTpi"}],
    ids=["nothing", "garbage", "an API key", "basic"],
)
async def test_without_identity_there_is_no_answer(
    stranger: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    response = await stranger.get(path, headers=headers)
    assert problem_of(response).status == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", JSON, 400, "malformed_json"),
        (b'{"item": "a", "item": "b"}', JSON, 400, "malformed_json"),
        (b'{"item": "\\u0000"}', JSON, 400, "malformed_json"),
        (b'{"item": 1}', JSON, 422, "invalid"),
        (b'{"item": "a", "colour": "red"}', JSON, 422, "invalid"),
        (b"[]", JSON, 422, "invalid"),
        (b"", JSON, 422, "invalid"),
        (b'{"item": "a"}', {}, 415, "unsupported_media_type"),
        (b'{"item": "a"}', JSON | {"content-encoding": "gzip"}, 415, "unsupported_media_type"),
        (b'{"item": "' + b"x" * 2000 + b'"}', JSON, 413, "too_large"),
    ],
)
async def test_a_wrong_body_is_refused(
    client: httpx.AsyncClient, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    response = await client.post("/orders", content=body, headers=headers)
    assert (problem_of(response).status, problem_of(response).code) == (status, code)


async def test_a_large_body_is_parsed_beside_the_event_loop_and_read_as_strictly(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, loads = [], strict_json.loads

    def watched(body: bytes) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return loads(body)

    monkeypatch.setattr("kit.middleware.LARGE_BODY", 20)
    monkeypatch.setattr(strict_json, "loads", watched)
    wrong = [b'{"item": "a"', b'{"item": "a", "item": "b"}']
    answers = [problem_of(await client.post("/orders", content=body, headers=JSON)).code for body in wrong]
    assert answers == ["malformed_json"] * 2
    assert threads == [True, False]


async def test_a_body_without_a_declared_length_is_measured_as_it_comes(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 512

    response = await client.post("/orders", content=endless(), headers=JSON)
    assert problem_of(response).code == "too_large"


async def test_an_invalid_field_is_located(client: httpx.AsyncClient) -> None:
    response = await client.post("/orders", json={"item": "a", "count": "many"})
    assert [error.location for error in problem_of(response).errors] == ["body.count"]


async def test_an_unexpected_error_says_nothing_of_its_inside(client: httpx.AsyncClient) -> None:
    response = await client.get("/orders/boom")
    assert problem_of(response).code == "internal_error"
    assert "hunter2" not in response.text


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/orders/taken", 409, "order_taken"), ("/orders/foreign", 409, "foreign"), ("/nowhere", 404, "not_found")],
)
async def test_a_refusal_is_a_problem_document(client: httpx.AsyncClient, path: str, status: int, code: str) -> None:
    response = await client.get(path)
    assert (problem_of(response).status, problem_of(response).code) == (status, code)


async def test_a_method_that_is_not_there_is_a_problem_document(client: httpx.AsyncClient) -> None:
    response = await client.delete("/orders")
    assert problem_of(response).code == "method_not_allowed"
    assert "POST" in response.headers["allow"]


async def test_whoever_is_too_early_is_told_when_to_come_back(client: httpx.AsyncClient) -> None:
    response = await client.get("/orders/busy")
    assert (response.status_code, response.headers["retry-after"], problem_of(response).retry_after) == (429, "2", 2.4)


async def test_a_trace_is_continued_and_named_on_every_answer(client: httpx.AsyncClient) -> None:
    parent = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "x-request-id": "mine-7"}
    for headers in (parent, parent | {PRINCIPAL_HEADER: "forged"}):
        response = await client.get("/orders/taken", headers=headers)
        assert (response.headers["x-trace-id"], response.headers["x-request-id"]) == (TRACE, "mine-7")
        assert problem_of(response).trace_id == TRACE


@pytest.mark.parametrize(
    ("checks", "code", "status"),
    [
        ({}, 200, "ok"),
        ({"db": Check(fine)}, 200, "ok"),
        ({"db": Check(odd)}, 200, "degraded"),
        ({"cache": Check(away, required=False)}, 200, "degraded"),
        ({"db": Check(away), "cache": Check(odd)}, 503, "unavailable"),
    ],
)
async def test_health_tells_what_a_service_depends_on(checks: dict[str, Check], code: int, status: str) -> None:
    transport = httpx.ASGITransport(app_with(checks))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        response = await client.get("/health")
    assert (response.status_code, response.json()["status"]) == (code, status)
    assert set(response.json()["dependencies"]) == set(checks)
    assert "10.0.0.1" not in response.text


async def test_health_is_logged_when_it_changes() -> None:
    wells = iter((False, False, True, True, False))

    async def at_times() -> str:
        if not next(wells):
            raise OSError("gone")
        return ""

    transport = httpx.ASGITransport(app_with({"db": Check(at_times)}))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        with capture_logs() as logs:
            statuses = [(await client.get("/health")).status_code for _ in range(5)]
    reported = [(each["status"], each["log_level"]) for each in logs if each["event"] == "http_request"]
    assert reported == list(zip(statuses, ("info", "debug", "info", "debug", "info"), strict=True))
    assert statuses == [503, 503, 200, 200, 503]


async def test_the_openapi_document_names_the_shape_of_errors(client: httpx.AsyncClient) -> None:
    document = json.loads((await client.get("/openapi.json")).content)
    assert "default" in document["paths"]["/orders"]["post"]["responses"]
