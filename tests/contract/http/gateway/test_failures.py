"""What a caller gets when a service is away, silent or broken: an answer that says so, never half of one."""

import asyncio

import httpx
import pytest

from tests.contract.http.gateway.world import World, make_world
from tests.servers import port_of, raw_exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_service_that_is_away_is_503_and_when_to_come_back(world: World) -> None:
    async with world.client() as client:
        answer = await client.get("/memory/search")
    assert (answer.status_code, answer.json()["code"]) == (503, "upstream_away")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("kind", ["garbage", "hang-up", "endless", "two-lengths", "control"])
async def test_an_answer_that_is_not_http_is_502(world: World, kind: str) -> None:
    async with world.client() as client:
        answer = await client.post(f"/sessions/{kind}", content=b"{}")
        again = await client.get("/sessions/plain")
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_broken")
    assert answer.headers["retry-after"] == "1"
    assert again.text == "ok"


async def test_a_write_that_was_hung_up_on_is_not_sent_again(world: World) -> None:
    async with world.client() as client:
        await client.post("/sessions/hang-up", content=b"{}")
    assert len(world.raw.requests) == 1


@pytest.mark.parametrize("kind", ["short", "cut-chunk"])
async def test_an_answer_that_breaks_off_breaks_off_here_too(world: World, kind: str) -> None:
    answer = await raw_exchange(world.url, world.head(f"/sessions/{kind}", "Host: x"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"only this" in body
    assert not body.endswith(b"0\r\n\r\n")
    async with world.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"/sessions/{kind}")


async def test_a_silent_service_is_504_and_let_go(world: World) -> None:
    async with make_world(world.keys, answer_seconds=0.2) as hurried:
        async with hurried.client() as client:
            answer = await client.get("/sessions/silent")
        assert (answer.status_code, answer.json()["code"]) == (504, "upstream_silent")
        async with asyncio.timeout(10):
            await hurried.raw.silence.wait()


async def test_a_stream_may_last_longer_than_an_answer_may_take_to_begin(world: World) -> None:
    async with (
        make_world(world.keys, answer_seconds=0.2) as hurried,
        hurried.client() as client,
        client.stream("GET", "/registry/events") as answer,
    ):
        lines = answer.aiter_lines()
        assert await anext(lines) == "id: 1"
        # A whole call that times out lies between the first event and the second.
        assert (await client.get("/sessions/silent")).status_code == 504
        hurried.service.go.set()
        assert [await anext(lines) for _ in range(3)] == ["data: one", "", "id: 2"]


async def test_oddities_of_a_service_do_no_harm(world: World) -> None:
    async with world.client() as client:
        hinted = await client.get("/sessions/early-hint")
        unchanged = await client.get("/sessions/not-modified")
        moved = await client.get("/sessions/moved")
        compressed = await raw_exchange(world.url, world.head("/sessions/compressed", "Host: x"))
    assert (hinted.status_code, hinted.text) == (200, "ok")
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert (moved.status_code, moved.headers["location"]) == (302, "/sessions/elsewhere")
    assert compressed.endswith(b"\r\n\r\n\x1f\x8b\x00\x01")


async def test_a_client_that_leaves_ends_the_call_to_the_service(world: World) -> None:
    async with asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(world.url))
        writer.write(world.head("/registry/wait", "Host: x"))
        await world.service.entered.wait()
        writer.close()
        await world.service.left.wait()


async def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    first = world.head("/registry/first", "Host: x").replace(b"Connection: close\r\n", b"")
    answer = await raw_exchange(world.url, first + world.head("/registry/second", "Host: x"))
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.index(b"/registry/first") < answer.index(b"/registry/second")
