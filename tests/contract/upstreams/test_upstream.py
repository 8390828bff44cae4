"""What an Upstream promises, shown on every one there is."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import UpstreamAway, UpstreamBroken
from gateway.upstream import Call, Closed, Upstream
from gateway.upstream_aiohttp import AiohttpUpstream
from gateway.upstream_memory import MemoryUpstream
from kit.errors import Forbidden
from tests.servers import closed_url, serving

Reach = Callable[[ASGIApp], AbstractAsyncContextManager[Upstream]]
"""Makes an upstream that reaches the application as "mine", and nobody as "away"."""


@asynccontextmanager
async def over_aiohttp(app: ASGIApp) -> AsyncIterator[Upstream]:
    async with (
        serving(app) as url,
        AiohttpUpstream(
            {"mine": url, "away": closed_url()}, connect_seconds=5, connections_per_service=10, max_message_bytes=10**6
        ) as upstream,
    ):
        yield upstream


@asynccontextmanager
async def in_memory(app: ASGIApp) -> AsyncIterator[Upstream]:
    yield MemoryUpstream({"mine": app})


@pytest.fixture(params=[over_aiohttp, in_memory])
def reach(request: pytest.FixtureRequest) -> Reach:
    chosen: Reach = request.param
    return chosen


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends back the target, then each part of the body as it comes."""
    if scope["type"] != "http":
        return
    headers = [(b"x-a", b"1"), (b"x-a", b"2"), *((k, v) for k, v in scope["headers"] if k == b"x-mine")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    target = scope["method"].encode() + b" " + scope["raw_path"] + b"?" + scope["query_string"] + b" "
    await send({"type": "http.response.body", "body": target, "more_body": True})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


async def whole(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])


async def test_a_call_and_its_answer_pass_as_they_are(reach: Reach) -> None:
    call = Call("mine", "PATCH", "/a%20b?c=%zz", [(b"x-mine", "ä".encode())], b"body")
    async with reach(echo) as upstream, upstream.exchange(call) as reply:
        assert reply.status == 201
        mine = [(name, value) for name, value in reply.headers if name.startswith(b"x-")]
        assert mine == [(b"x-a", b"1"), (b"x-a", b"2"), (b"x-mine", "ä".encode())]
        assert await whole(reply.body()) == b"PATCH /a%20b?c=%zz body"


async def test_a_streamed_body_arrives_whole_and_is_sent_as_it_comes(reach: Reach) -> None:
    echoed = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield b"first,"
        await echoed.wait()
        yield b"second"

    for length in (None, 12):
        echoed.clear()
        async with (
            asyncio.timeout(10),
            reach(echo) as upstream,
            upstream.exchange(Call("mine", "POST", "/", body=parts(), length=length)) as reply,
        ):
            got = b""
            async for part in reply.body():
                got += part
                if b"first," in got:
                    echoed.set()
        assert got == b"POST /? first,second"


async def test_head_has_no_body(reach: Reach) -> None:
    async with reach(echo) as upstream, upstream.exchange(Call("mine", "HEAD", "/")) as reply:
        assert await whole(reply.body()) == b""


async def test_a_service_that_is_away_is_reported_as_such(reach: Reach) -> None:
    async with reach(echo) as upstream:
        with pytest.raises(UpstreamAway):
            async with upstream.exchange(Call("away", "GET", "/")):
                pass
        with pytest.raises(UpstreamAway):
            async with upstream.connect(Call("away", "GET", "/"), []):
                pass


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(reach: Reach) -> None:
    async def cut(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})

    async with reach(cut) as upstream, upstream.exchange(Call("mine", "GET", "/")) as reply:
        with pytest.raises(UpstreamBroken):
            await whole(reply.body())


async def test_leaving_before_the_end_is_noticed_by_the_service(reach: Reach) -> None:
    left = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        try:
            await receive()
        finally:
            left.set()

    async with asyncio.timeout(10), reach(endless) as upstream:
        async with upstream.exchange(Call("mine", "GET", "/")) as reply:
            assert await anext(reply.body()) == b"some"
        await left.wait()


async def converse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    if scope["path"] == "/refused":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4000, "reason": "done"})
            return
        kept = {kind: message[kind] for kind in ("text", "bytes") if message.get(kind) is not None}
        await send({"type": "websocket.send", **kept})


async def test_messages_pass_both_ways_until_the_service_says_goodbye(reach: Reach) -> None:
    async with reach(converse) as upstream, upstream.connect(Call("mine", "GET", "/"), ["v2", "v1"]) as channel:
        assert channel.subprotocol == "v2"
        for message in ("text", b"bytes"):
            await channel.send(message)
            assert await channel.receive() == message
        await channel.send("bye")
        assert await channel.receive() == Closed(4000, "done")


async def test_a_goodbye_to_the_service_ends_the_conversation(reach: Reach) -> None:
    async with reach(converse) as upstream, upstream.connect(Call("mine", "GET", "/"), []) as channel:
        assert channel.subprotocol is None
        await channel.close(1000, "")


async def test_a_refused_handshake_is_that_refusal(reach: Reach) -> None:
    async with reach(converse) as upstream:
        with pytest.raises(Forbidden):
            async with upstream.connect(Call("mine", "GET", "/refused"), []):
                pass
