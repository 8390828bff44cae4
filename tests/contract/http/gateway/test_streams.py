"""Server-sent events and WebSockets, through the gateway as they happen."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.contract.http.gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAM = "/agent/stream/sess-1"


async def test_an_event_arrives_before_the_next_one_happens(world: World) -> None:
    async with world.client() as client, client.stream("GET", "/registry/events") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = answer.aiter_lines()
        assert [await anext(lines) for _ in range(3)] == ["id: 1", "data: one", ""]
        world.service.go.set()
        assert [await anext(lines) for _ in range(2)] == ["id: 2", "data: two"]


async def test_a_listener_that_leaves_is_noticed_by_the_service(world: World) -> None:
    world.service.go.set()
    async with world.client() as client, client.stream("GET", "/registry/events") as answer:
        assert await anext(answer.aiter_lines()) == "id: 1"
    async with asyncio.timeout(10):
        await world.service.left.wait()


async def test_messages_pass_both_ways_as_they_are(world: World) -> None:
    async with connect(world.websocket + STREAM, additional_headers=world.authorized) as socket:
        for message in ("text ✓", b"\x00\xff", "x" * 300_000, ""):
            await socket.send(message)
            assert await socket.recv() == message


async def test_the_service_learns_who_and_where_and_no_key(world: World) -> None:
    async with connect(f"{world.websocket}{STREAM}?after=7", additional_headers=world.authorized) as socket:
        await socket.send("headers")
        told = json.loads(await socket.recv())
        assert socket.response is not None
        trace_id = socket.response.headers["x-trace-id"]
    assert world.keys.principal_of(told["x-bureau-principal"], "runtime") == ("acme", "ada")
    assert told["traceparent"].split("-")[1] == trace_id
    assert told["query"] == "after=7"
    assert world.keys.api_key not in json.dumps(told)


async def test_a_browser_sends_its_key_as_a_subprotocol(world: World) -> None:
    offered = [Subprotocol("bureau"), Subprotocol(f"bureau.key.{world.keys.api_key}")]
    async with connect(world.websocket + STREAM, subprotocols=offered) as socket:
        assert socket.subprotocol == "bureau"
        await socket.send("headers")
        assert world.keys.api_key not in str(await socket.recv())
    async with connect(world.websocket + STREAM, subprotocols=[*offered, Subprotocol("v1")]) as socket:
        assert socket.subprotocol == "v1"


@pytest.mark.parametrize(
    ("path", "known", "status"),
    [(STREAM, False, 401), ("/nothing", True, 404), ("/memory/stream", True, 503), ("/agent/refused", True, 403)],
)
async def test_a_refused_handshake_is_a_problem_document(world: World, path: str, known: bool, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(world.websocket + path, additional_headers=world.authorized if known else {}):
            pass
    response = refused.value.response
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert json.loads(response.body or b"")["trace_id"] == response.headers["x-trace-id"]


async def test_a_key_in_the_url_does_not_open(world: World) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"{world.websocket}{STREAM}?api_key={world.keys.api_key}"):
            pass
    assert refused.value.response.status_code == 401


async def test_a_services_goodbye_arrives_with_its_code(world: World) -> None:
    async with connect(world.websocket + STREAM, additional_headers=world.authorized) as socket:
        await socket.send("bye")
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert (socket.close_code, socket.close_reason) == (4001, "done")


async def test_a_clients_goodbye_reaches_the_service_with_its_code(world: World) -> None:
    async with connect(world.websocket + STREAM, additional_headers=world.authorized) as socket:
        await socket.close(4000, "enough")
    async with asyncio.timeout(10):
        await world.service.left.wait()
    assert world.service.left_with == 4000


async def test_a_client_that_vanishes_is_noticed_by_the_service(world: World) -> None:
    async with connect(world.websocket + STREAM, additional_headers=world.authorized) as socket:
        await socket.send("hello")
        await socket.recv()
        socket.transport.abort()
        async with asyncio.timeout(10):
            await world.service.left.wait()
