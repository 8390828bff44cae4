"""Bodies on their way in: whole or in parts, within their limit."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.contract.http.gateway.world import MAX_BODY_BYTES, World, make_world
from tests.servers import port_of, raw_exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def in_parts(body: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [0, 1, 1000, MAX_BODY_BYTES])
async def test_a_body_arrives_whole(world: World, size: int) -> None:
    body = bytes(number % 251 for number in range(size))
    async with world.client() as client:
        announced = (await client.post("/registry/agents", content=body)).json()
        chunked = (await client.post("/registry/agents", content=in_parts(body))).json()
    for got in (announced, chunked):
        assert (got["size"], got["sha256"]) == (size, hashlib.sha256(body).hexdigest())
    assert dict(announced["headers"])["content-length"] == str(size)


async def test_content_type_passes_and_none_is_invented(world: World) -> None:
    async with world.client() as client:
        typed = (await client.post("/registry/agents", content=b"{}", headers={"content-type": "a/b; c=d"})).json()
        bare = (await client.post("/registry/agents", content=b"{}")).json()
    assert dict(typed["headers"])["content-type"] == "a/b; c=d"
    assert "content-type" not in dict(bare["headers"])


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(world: World) -> None:
    """`Expect: 100-continue`: the client waits for a go-ahead, and gets the refusal instead."""
    head = world.head(
        "/registry/agents", "Host: x", f"Content-Length: {MAX_BODY_BYTES + 1}", "Expect: 100-continue", method="POST"
    )
    answer = await raw_exchange(world.url, head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in answer
    assert world.service.calls == 0


async def test_a_body_of_unknown_length_is_refused_once_it_is_over_the_limit(world: World) -> None:
    async with world.client() as client:
        answer = await client.post("/registry/agents", content=in_parts(b"x" * (MAX_BODY_BYTES + 1)))
        again = await client.get("/registry/agents")
    assert (answer.status_code, answer.json()["code"], again.status_code) == (413, "too_large", 200)


async def test_a_client_that_waits_for_the_go_ahead_gets_it(world: World) -> None:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(world.url))
        head = world.head("/registry/agents", "Host: x", "Content-Length: 4", "Expect: 100-continue", method="PUT")
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        answer = await reader.read(-1)
        writer.close()
    assert b'"size": 4' in answer
    assert b"expect" not in answer.lower()


async def test_a_body_streams_while_it_is_still_being_sent(world: World) -> None:
    """Each part's echo is awaited before the next part is sent: a gateway that collects bodies would never answer."""
    parts = [b"one", b"two", b"three"]
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(world.url))
        writer.write(world.head("/registry/trickle", "Host: x", "Transfer-Encoding: chunked", method="POST"))
        for number, part in enumerate(parts):
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            if number == 0:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
            assert await reader.readuntil(b"\r\n") == b"%x\r\n" % len(part)
            assert await reader.readuntil(b"\r\n") == part + b"\r\n"
        writer.write(b"0\r\n\r\n")
        assert await reader.read(-1) == b"0\r\n\r\n"
        writer.close()


async def test_a_client_that_leaves_within_its_body_ends_the_call(world: World) -> None:
    async with asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(world.url))
        writer.write(world.head("/registry/agents", "Host: x", "Content-Length: 1000", method="POST") + b"some of it")
        await writer.drain()
        writer.close()
        async with world.client() as client:
            # Whether the service heard of the call at all depends on what came first; it never gets a whole body.
            answer = await client.get("/registry/agents")
    assert answer.status_code == 200


async def test_a_client_that_pauses_too_long_is_told_so(world: World) -> None:
    async with make_world(world.keys, body_seconds=0.1) as hurried:
        head = hurried.head("/registry/agents", "Host: x", "Content-Length: 10", method="POST")
        before_any = await raw_exchange(hurried.url, head)
        within = await raw_exchange(hurried.url, head + b"abc")
    assert before_any.startswith(b"HTTP/1.1 408 ")
    assert within.startswith(b"HTTP/1.1 408 ")


async def test_several_requests_share_a_connection(world: World) -> None:
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=world.url, headers=world.authorized, limits=limits) as client:
        for number in range(5):
            answer = await client.post("/registry/agents", content=b"x" * number)
            assert answer.json()["size"] == number
