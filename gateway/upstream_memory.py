"""The upstream port without a network: each service is an ASGI application in this process. For tests and trials."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import UpstreamAway, UpstreamBroken
from gateway.upstream import Call, Channel, Closed, Headers, Reply
from kit.errors import Forbidden
from kit.tasks import background

_AHEAD = 1
"""How many messages a side may be ahead of the other: little, so that back-pressure is real."""


class MemoryUpstream:
    """An Upstream. A service that is not in `services` is away; one that raises has hung up."""

    def __init__(self, services: Mapping[str, ASGIApp]) -> None:
        self.services = dict(services)

    @asynccontextmanager
    async def exchange(self, call: Call) -> AsyncIterator[Reply]:
        answers: asyncio.Queue[Message | None] = asyncio.Queue(_AHEAD)
        scope = {**_scope(call), "type": "http", "method": call.method, "scheme": "http"}
        async with background(_run(self._service(call), scope, _body_of(call), answers)):
            start = await answers.get()
            if start is None:
                raise UpstreamBroken(f"{call.service} hung up, or did not answer in HTTP")
            yield _Reply(call, start, answers)

    @asynccontextmanager
    async def connect(self, call: Call, subprotocols: Sequence[str]) -> AsyncIterator[Channel]:
        answers: asyncio.Queue[Message | None] = asyncio.Queue(_AHEAD)
        asked: asyncio.Queue[Message] = asyncio.Queue()
        asked.put_nowait({"type": "websocket.connect"})
        scope = {**_scope(call), "type": "websocket", "scheme": "ws", "subprotocols": list(subprotocols)}
        async with background(_run(self._service(call), scope, asked.get, answers)):
            start = await answers.get()
            if start is None or start["type"] != "websocket.accept":
                raise Forbidden(f"{call.service} refused the WebSocket", code="websocket_forbidden")
            yield _Channel(start.get("subprotocol"), asked, answers)

    def _service(self, call: Call) -> ASGIApp:
        if call.service not in self.services:
            raise UpstreamAway(f"{call.service} does not accept connections")
        return self.services[call.service]


class _Reply:
    def __init__(self, call: Call, start: Message, answers: "asyncio.Queue[Message | None]") -> None:
        self._call, self._answers = call, answers
        self.status: int = start["status"]
        self.headers: Headers = [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]

    async def body(self) -> AsyncIterator[bytes]:
        more = self._call.method != "HEAD"
        while more:
            message = await self._answers.get()
            if message is None:
                raise UpstreamBroken(f"{self._call.service} broke off within its answer")
            if message.get("body"):
                yield message["body"]
            more = message.get("more_body", False)


class _Channel:
    def __init__(
        self, subprotocol: str | None, asked: "asyncio.Queue[Message]", answers: "asyncio.Queue[Message | None]"
    ) -> None:
        self.subprotocol, self._asked, self._answers = subprotocol, asked, answers

    async def send(self, message: str | bytes) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        await self._asked.put({"type": "websocket.receive", kind: message})

    async def receive(self) -> str | bytes | Closed:
        message = await self._answers.get()
        if message is None:
            return Closed(1006)
        if message["type"] == "websocket.close":
            return Closed(message.get("code", 1000), message.get("reason") or "")
        content: str | bytes = message["text"] if message.get("text") is not None else message["bytes"]
        return content

    async def close(self, code: int, reason: str) -> None:
        await self._asked.put({"type": "websocket.disconnect", "code": code, "reason": reason})
        while not isinstance(await self.receive(), Closed):
            """The service has read the goodbye when it ends."""


def _scope(call: Call) -> Scope:
    path, _, query = call.target.partition("?")
    return {
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": list(call.headers),
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
        "state": {},
    }


def _body_of(call: Call) -> Receive:
    parts, over = _parts(call), False

    async def receive() -> Message:
        nonlocal over
        if over:
            # The caller stays until it leaves the block, and that cancels the service.
            await asyncio.Event().wait()
        part = await anext(parts, None)
        over = part is None
        return {"type": "http.request", "body": part or b"", "more_body": not over}

    return receive


async def _parts(call: Call) -> AsyncIterator[bytes]:
    if isinstance(call.body, bytes):
        yield call.body
        return
    async for part in call.body:
        yield part


async def _run(service: ASGIApp, scope: Scope, receive: Receive, answers: "asyncio.Queue[Message | None]") -> None:
    send: Send = answers.put
    listening = True
    try:
        await service(scope, receive, send)
    except asyncio.CancelledError:
        listening = False
        raise
    finally:
        if listening:
            await answers.put(None)
