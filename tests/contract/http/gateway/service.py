"""A service in miniature behind the gateway under test, and a server that answers with bytes no HTTP library sends."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable

from starlette.types import Receive, Scope, Send

from bureau_contracts.health import Health, HealthStatus
from kit.tasks import Ended, until

HEAD_END = b"\r\n\r\n"


class Service:
    """Tells what it got; `go` lets it go on where a path says that it waits, `left` is set when its caller leaves."""

    def __init__(self) -> None:
        self.go, self.left, self.entered = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.left_with: int | None = None
        self.calls = 0
        self.status = HealthStatus.OK
        self._paths: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
            "health": self._health,
            "openapi.json": self._openapi,
            "events": self._events,
            "headers": self._headers,
            "empty": self._empty,
            "wait": self._wait,
            "trickle": self._trickle,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._converse(scope, receive, send)
        elif scope["type"] == "http":
            self.calls += 1
            await self._paths.get(scope["path"].rsplit("/", 1)[-1], self._echo)(scope, receive, send)

    async def _echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = hashlib.sha256()
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body.update(message.get("body", b""))
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        answer = {
            "method": scope["method"],
            "path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
            "size": size,
            "sha256": body.hexdigest(),
        }
        await _send(send, 200, json.dumps(answer).encode(), [(b"content-type", b"application/json")])

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        health = Health(service="mine", status=self.status, version="1")
        await _send(send, 503 if self.status is HealthStatus.UNAVAILABLE else 200, health.model_dump_json().encode())

    async def _openapi(self, scope: Scope, receive: Receive, send: Send) -> None:
        answers = {"200": {"description": "fine"}}
        paths = {path: {"get": {"responses": answers}} for path in ("/registry/agents", "/agent/plans", "/health")}
        await _send(send, 200, json.dumps({"openapi": "3.1.0", "info": {"title": "T"}, "paths": paths}).encode())

    async def _headers(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"connection", b"x-private"), (b"x-private", b"1"),
            (b"keep-alive", b"timeout=5"), (b"x-trace-id", b"theirs"), (b"x-request-id", b"theirs"),
            (b"x-bureau-note", b"inside"), (b"server", b"secret/1.0"), (b"x-kept", b"yes"),
        ]  # fmt: skip
        await _send(send, 200, b"ok", headers)

    async def _empty(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = int(scope["query_string"] or b"204")
        await _send(send, status, b"", [(b"etag", b'"1"')])

    async def _events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Server-sent events: one at once, one when told to, then until the caller leaves."""
        headers = [(b"content-type", b"text/event-stream")]
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"id: 1\ndata: one\n\n", "more_body": True})
        await self.go.wait()
        await send({"type": "http.response.body", "body": b"id: 2\ndata: two\n\n", "more_body": True})
        await receive()
        self.left.set()

    async def _wait(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Does not answer before it is told to, or its caller leaves."""
        await receive()
        self.entered.set()
        try:
            async with until(_gone(receive)):
                await self.go.wait()
        except Ended:
            self.left.set()
            return
        await _send(send, 200, b"waited")

    async def _trickle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers each part of the body as soon as it has come."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            if message.get("body"):
                await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Echoes; "headers" tells what came, "bye" closes with a code of the service's own."""
        await receive()
        if scope["path"].endswith("/refused"):
            await send({"type": "websocket.close", "code": 1008})
            return
        offered = scope["subprotocols"]
        await send({"type": "websocket.accept", "subprotocol": offered[0] if offered else None})
        while (message := await receive())["type"] == "websocket.receive":
            text, data = message.get("text"), message.get("bytes")
            if text == "bye":
                await send({"type": "websocket.close", "code": 4001, "reason": "done"})
                return
            if text == "headers":
                told = {name.decode(): value.decode() for name, value in scope["headers"]} | {
                    "query": scope["query_string"].decode()
                }
                text = json.dumps(told)
            await send({"type": "websocket.send", **({"text": text} if text is not None else {"bytes": data})})
        self.left_with = message.get("code")
        self.left.set()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    length = [(b"content-length", str(len(body)).encode())] if status not in (204, 304) else []
    await send({"type": "http.response.start", "status": status, "headers": [*(headers or []), *length]})
    await send({"type": "http.response.body", "body": body})


class RawService:
    """Answers by path with bytes as they are, then closes the connection; `requests` are the heads that came."""

    ANSWERS = {
        "short": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this",
        "cut-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        "garbage": b"this is not HTTP\r\n\r\n",
        "hang-up": b"",
        "endless": b"HTTP/1.1 200 OK\r\n\r\nwhere does it end",
        "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "control": b"HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 2\r\n\r\nok",
        "early-hint": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "not-modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: x\r\n\r\n",
        "compressed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x00\x01",
        "moved": b"HTTP/1.1 302 Found\r\nLocation: /sessions/elsewhere\r\nContent-Length: 0\r\n\r\n",
        "plain": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    }

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.silence = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(HEAD_END)
            self.requests.append(head)
            name = head.split(b" ", 2)[1].decode().partition("?")[0].rsplit("/", 1)[-1]
            if name == "silent":
                # Until the caller has enough of it.
                await reader.read()
                self.silence.set()
            writer.write(self.ANSWERS.get(name, self.ANSWERS["plain"]))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
