"""The innermost layer: a request goes to the service that its path names, and the answer comes back, both as they come.

It holds a part of a body only while the other side is not ready for it, never a whole one.
"""

import asyncio
from collections.abc import AsyncIterable
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from gateway import relay
from gateway.auth import passed_subprotocols
from gateway.errors import OldHttp, UpstreamSilent
from gateway.headers import answer_headers, has_length, request_headers
from gateway.inbound import Inbound
from gateway.routes import RouteTable
from gateway.upstream import Call, Reply, Upstream
from kit.errors import Refusal
from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalSigner
from kit.tasks import Ended, until
from kit.telemetry import SpanKind, outgoing_headers, span

_END = {"type": "http.response.body", "body": b"", "more_body": False}


@dataclass(frozen=True)
class Limits:
    max_body_bytes: int
    answer_seconds: float
    body_seconds: float


class Proxy:
    """ASGI application. Expects the scope's state as TraceLayer and IdentityLayer leave it."""

    def __init__(self, routes: RouteTable, upstream: Upstream, signer: PrincipalSigner, limits: Limits) -> None:
        self._routes, self._upstream, self._signer, self._limits = routes, upstream, signer, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._routes.of(scope["path"]).service
        scope["state"]["log_fields"]["upstream"] = service
        if scope["type"] == "websocket":
            await self._websocket(service, scope, receive, send)
        else:
            await self._http(service, scope, receive, send)

    async def _http(self, service: str, scope: Scope, receive: Receive, send: Send) -> None:
        limits = self._limits
        inbound = Inbound(scope, receive, max_bytes=limits.max_body_bytes, pause_seconds=limits.body_seconds)
        try:
            async with until(inbound.left()):
                await self._exchange(service, scope, inbound, send)
        except Ended:
            scope["state"]["log_fields"]["client_left"] = True
            return
        # Outside of the block: with the answer's end the server reports the client as gone.
        await send(_END)

    async def _exchange(self, service: str, scope: Scope, inbound: Inbound, send: Send) -> None:
        body = await inbound.body()
        length = None if isinstance(body, bytes) else inbound.length
        call = self._call(service, scope, body, length)
        with span(f"proxy {service}", kind=SpanKind.CLIENT):
            try:
                async with asyncio.timeout(self._limits.answer_seconds) as deadline:
                    inbound.on_progress = lambda: deadline.reschedule(_in(self._limits.answer_seconds))
                    async with self._upstream.exchange(call) as reply:
                        inbound.on_progress = None
                        deadline.reschedule(None)
                        await _answer(scope, reply, send)
            except TimeoutError as error:
                raise UpstreamSilent(f"{service} did not answer within {self._limits.answer_seconds:g} s") from error
            except Refusal as refusal:
                # What broke within the client's body looks like a broken connection to whoever was sending it.
                raise inbound.failure or refusal from None

    async def _websocket(self, service: str, scope: Scope, receive: Receive, send: Send) -> None:
        call = self._call(service, scope)
        try:
            async with (
                asyncio.timeout(self._limits.answer_seconds) as deadline,
                self._upstream.connect(call, passed_subprotocols(scope["subprotocols"])) as channel,
            ):
                deadline.reschedule(None)
                await relay.run(scope, receive, send, channel)
        except TimeoutError as error:
            raise UpstreamSilent(f"{service} did not answer within {self._limits.answer_seconds:g} s") from error

    def _call(
        self, service: str, scope: Scope, body: bytes | AsyncIterable[bytes] = b"", length: int | None = None
    ) -> Call:
        principal: Principal = scope["state"]["principal"]
        ours = [
            (PRINCIPAL_HEADER.encode(), self._signer.sign(principal, service).encode()),
            (b"x-request-id", scope["state"]["request_id"].encode()),
            *((name.encode(), value.encode()) for name, value in outgoing_headers().items()),
        ]
        target: bytes = scope["raw_path"]
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        return Call(
            service, scope.get("method", "GET"), target.decode("ascii"), request_headers(scope, ours), body, length
        )


async def _answer(scope: Scope, reply: Reply, send: Send) -> None:
    headers = answer_headers(reply.status, reply.headers)
    if scope["http_version"] == "1.0" and not has_length(reply.status, scope["method"], headers):
        raise OldHttp("this answer is a stream; HTTP/1.0 cannot carry it, use HTTP/1.1")
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    async for part in reply.body():
        await send({"type": "http.response.body", "body": part, "more_body": True})


def _in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
