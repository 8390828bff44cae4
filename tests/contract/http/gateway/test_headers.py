"""Which headers pass the gateway, in both directions, and which heads it refuses."""

import json

import pytest

from tests.contract.http.gateway.test_identity import headers_of
from tests.contract.http.gateway.world import World, make_world
from tests.servers import raw_exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_callers_trace_is_continued(world: World) -> None:
    given = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01", "tracestate": "vendor=1"}
    async with world.client() as client:
        answer = await client.get("/registry/agents", headers=given)
    got = headers_of(answer)
    assert answer.headers.get_list("x-trace-id") == [TRACE_ID]
    version, trace_id, span_id, flags = got["traceparent"].split("-")
    assert (version, trace_id, flags, got["tracestate"]) == ("00", TRACE_ID, "01", "vendor=1")
    assert span_id != "00f067aa0ba902b7"


@pytest.mark.parametrize("traceparent", ["", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01"])
async def test_a_request_without_a_valid_trace_begins_one(world: World, traceparent: str) -> None:
    async with world.client() as client:
        answer = await client.get("/registry/agents", headers={"traceparent": traceparent} if traceparent else {})
    [trace_id] = answer.headers.get_list("x-trace-id")
    assert trace_id != "0" * 32
    assert headers_of(answer)["traceparent"].split("-")[1] == trace_id


async def test_a_request_id_is_kept_and_passed_on_once(world: World) -> None:
    async with world.client() as client:
        answer = await client.get("/registry/agents", headers={"x-request-id": "mine-1"})
    assert answer.headers.get_list("x-request-id") == ["mine-1"]
    assert headers_of(answer).getlist("x-request-id") == ["mine-1"]


async def test_errors_carry_the_trace_too(world: World) -> None:
    async with world.client() as client:
        for path in ("/nothing", "/memory/search", "/sessions/garbage"):
            answer = await client.get(path, headers={"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"})
            assert answer.headers.get_list("x-trace-id") == [TRACE_ID]
            assert answer.json()["trace_id"] == TRACE_ID
            assert answer.headers["content-type"] == "application/problem+json"


async def test_a_services_headers_pass_but_those_for_this_hop_and_ours(world: World) -> None:
    async with world.client() as client:
        answer = await client.get("/registry/headers")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-kept"] == "yes"
    assert len(answer.headers.get_list("date")) == 1
    assert not {"x-private", "keep-alive", "connection", "server", "x-bureau-note"} & set(answer.headers)
    assert "theirs" not in (*answer.headers.get_list("x-trace-id"), *answer.headers.get_list("x-request-id"))


async def test_one_callers_cookies_are_no_other_callers(world: World) -> None:
    # By name: HTTP clients that keep cookies keep none of a bare address.
    by_name = world.service_url.replace("127.0.0.1", "localhost")
    async with make_world(world.keys, registry_url=by_name) as named:
        async with named.client() as client:
            assert "set-cookie" in (await client.get("/registry/headers")).headers
        async with named.client() as other:
            answer = await other.get("/registry/agents")
    assert "cookie" not in headers_of(answer)


async def test_a_clients_hop_by_hop_headers_end_here(world: World) -> None:
    head = world.head(
        "/registry/agents", "Host: x", "Connection: close, X-Secret, content-length", "X-Secret: 1", "TE: trailers",
        "Keep-Alive: 5", "Proxy-Authorization: Basic x", "Upgrade: h2c", "X-Kept: yes", "Accept-Language: de",
    )  # fmt: skip
    answer = await raw_exchange(world.url, head)
    got = dict(json.loads(answer.partition(b"\r\n\r\n")[2])["headers"])
    assert not {"x-secret", "te", "keep-alive", "proxy-authorization", "upgrade", "authorization"} & set(got)
    assert (got["x-kept"], got["accept-language"]) == ("yes", "de")
    assert "user-agent" not in got


async def test_the_chain_of_addresses_goes_on_and_the_rest_is_what_we_saw(world: World) -> None:
    head = world.head("/registry/agents", "Host: bureau.example:8443", "X-Forwarded-Host: forged", "Forwarded: for=x")
    got = dict(json.loads((await raw_exchange(world.url, head)).partition(b"\r\n\r\n")[2])["headers"])
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["x-forwarded-host"] == got["host"] == "bureau.example:8443"
    assert got["x-forwarded-proto"] == "http"
    assert "forwarded" not in got

    head = world.head("/registry/agents", "Host: x", "X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 10.0.0.1")
    got = dict(json.loads((await raw_exchange(world.url, head)).partition(b"\r\n\r\n")[2])["headers"])
    assert got["x-forwarded-for"].startswith("203.0.113.7, 10.0.0.1")


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (400, []),
        (400, ["Host: a", "Host: b"]),
        (400, ["Host: a b"]),
        (400, ["Host: a/../b"]),
        (400, ["Host: "]),
        (400, ["Host: x", "Content-Length: 1", "Transfer-Encoding: chunked"]),
        (400, ["Host: x", "Content-Length: 1", "Content-Length: 2"]),
        (400, ["Host: x", "Content-Length: +1"]),
        (400, ["Host: x", "Transfer-Encoding: chunked, identity"]),
        (400, ["Host: x", "Transfer-Encoding: xchunked"]),
        (400, ["Host: x", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]),
        (400, ["Host: x", "X-Bad: caf\xe9"]),
        (431, ["Host: x", "X-Long: " + "a" * 33_000]),
        (431, ["Host: x", *(f"X-{n}: {'a' * 80}" for n in range(400))]),
    ],
)
async def test_an_ambiguous_or_oversized_head_is_refused(world: World, status: int, headers: list[str]) -> None:
    answer = await raw_exchange(world.url, world.head("/registry/agents", *headers))
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert world.service.calls == 0


async def test_an_old_client_gets_answers_with_a_length_and_no_chunks(world: World) -> None:
    whole = await raw_exchange(world.url, world.head("/registry/agents", version="1.0"))
    assert whole.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in whole.lower()
    stream = await raw_exchange(world.url, world.head("/registry/events", version="1.0"))
    assert stream.startswith(b"HTTP/1.1 505 ")
