"""The upstream port over aiohttp: one pool of kept connections per service."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from gateway.errors import UpstreamAway, UpstreamBroken, UpstreamSilent
from gateway.upstream import Call, Channel, Closed, Headers, Reply
from kit.errors import Forbidden, NotFound, Refusal, TooMany, Unauthenticated, Unavailable

KEEP_SECONDS = 3.0
"""Shorter than the five seconds after which the services close an idle connection: a request must not meet that."""
MAX_HEADER_BYTES = 64 * 1024
NO_CODE = 1005
"""A WebSocket's goodbye that gives no code (RFC 6455, 7.4.1)."""
_UNASKED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_REFUSALS: Mapping[int, type[Refusal]] = {
    kind.status: kind for kind in (Unauthenticated, Forbidden, NotFound, TooMany, Unavailable)
}


class AiohttpUpstream:
    """An Upstream, and a context manager that holds its connections."""

    def __init__(
        self, urls: Mapping[str, str], *, connect_seconds: float, connections_per_service: int, max_message_bytes: int
    ) -> None:
        self._urls, self._limit, self._max_message = urls, connections_per_service, max_message_bytes
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=self._limit, keepalive_timeout=KEEP_SECONDS),
            # One caller's cookies are no other caller's.
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_UNASKED,
            auto_decompress=False,
            timeout=self._timeout,
            trust_env=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    @asynccontextmanager
    async def exchange(self, call: Call) -> AsyncIterator[Reply]:
        assert self._session is not None, "used outside of its block"
        headers = _text(call.headers)
        if call.length is not None:
            headers.append(("content-length", str(call.length)))
        try:
            response = await self._session.request(
                call.method, self._url(call), headers=headers, data=call.body or None, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(call.service, error) from error
        try:
            yield _Reply(call, response)
        finally:
            # After the body's end the connection is back in the pool and this does nothing.
            response.close()

    @asynccontextmanager
    async def connect(self, call: Call, subprotocols: Sequence[str]) -> AsyncIterator[Channel]:
        assert self._session is not None, "used outside of its block"
        try:
            socket = await self._session.ws_connect(
                self._url(call), headers=_text(call.headers), protocols=subprotocols, max_msg_size=self._max_message
            )
        except aiohttp.WSServerHandshakeError as error:
            raise _handshake_refusal(call.service, error.status) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(call.service, error) from error
        try:
            yield _Channel(socket)
        finally:
            await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)

    def _url(self, call: Call) -> URL:
        # `encoded`: what the client escaped, and how, is not ours to change.
        return URL(self._urls[call.service] + call.target, encoded=True)


class _Reply:
    def __init__(self, call: Call, response: aiohttp.ClientResponse) -> None:
        self._service, self._response = call.service, response
        self.status = response.status
        self.headers: Headers = [(name.lower(), value) for name, value in response.raw_headers]
        names = [name for name, _ in self.headers]
        bodyless = call.method == "HEAD" or response.status in (204, 304)
        # An answer that only the end of its connection ends looks whole wherever it was cut.
        if not bodyless and b"transfer-encoding" not in names and names.count(b"content-length") != 1:
            response.close()
            raise UpstreamBroken(f"{call.service} did not say how long its answer is")

    async def body(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._response.content.iter_any():
                yield part
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamBroken(f"{self._service} broke off within its answer") from error


class _Channel:
    def __init__(self, socket: "aiohttp.ClientWebSocketResponse[bool]") -> None:
        self._socket = socket
        self.subprotocol = socket.protocol

    async def send(self, message: str | bytes) -> None:
        try:
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                await self._socket.send_bytes(message)
        except (aiohttp.ClientError, OSError):
            # `receive` reports the end, with the reason that the service gave.
            return

    async def receive(self) -> str | bytes | Closed:
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT or message.type is aiohttp.WSMsgType.BINARY:
            content: str | bytes = message.data
            return content
        if message.type is aiohttp.WSMsgType.CLOSE:
            return Closed(message.data or NO_CODE, message.extra or "")
        # aiohttp reports 1000 for a connection that was lost without a goodbye.
        return Closed(aiohttp.WSCloseCode.ABNORMAL_CLOSURE)

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code=code, message=reason.encode())


def _text(headers: Headers) -> list[tuple[str, str]]:
    """aiohttp encodes header values as UTF-8; the gateway lets no others in."""
    return [(name.decode("ascii"), value.decode()) for name, value in headers]


def _failure(service: str, error: Exception) -> Refusal:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamSilent(f"{service} did not accept a connection in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamAway(f"{service} does not accept connections")
    return UpstreamBroken(f"{service} hung up, or did not answer in HTTP")


def _handshake_refusal(service: str, status: int) -> Refusal:
    detail = f"{service} refused the WebSocket with {status}"
    kind = _REFUSALS.get(status)
    return kind(detail, code=f"websocket_{HTTPStatus(status).name.lower()}") if kind else UpstreamBroken(detail)
