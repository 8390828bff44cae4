"""Connections to MCP servers, over streamable HTTP or to a command, bounded in what they say. Needs the package `mcp`
(an extra of whoever uses it). Knows neither what is asked nor who may ask."""

import json
import logging
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import httpx2
from mcp import Client
from mcp.client._transport import Transport
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from kit.certificates import trusted
from kit.destinations import Destinations
from kit.http_headers import bad_header
from kit.mcp_process import Ended, TooMuch, started

MOST_BYTES = 8 * 1024 * 1024
"""Of all that a server says over one connection."""
LATER_SECONDS = 1.0

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class NotConnected(Exception):
    """This server is not connected to, whenever one tries. The message says why, and holds no secret."""


@dataclass(frozen=True)
class Server:
    """Where a server is: a URL, or a command where there is none. Headers' and variables' values are secrets."""

    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Answered:
    """What came of one request over HTTP, below the protocol."""

    delivered: bool = False
    """False while nobody has accepted a connection for it: then it did nothing."""
    status: int | None = None
    retry_after: str | None = None


@dataclass
class Wire:
    """What a connection has seen: the last request for each method."""

    requests: dict[str, Answered] = field(default_factory=dict)


class McpConnections:
    def __init__(
        self, destinations: Destinations, commands: Sequence[str], path: str, *, commands_setting: str = ""
    ) -> None:
        """`commands` may be started: absolute paths, or names that are looked up in `path`, which is all that a server
        gets to know of our environment. `commands_setting` is the variable that names them."""
        self._destinations, self._commands, self._path = destinations, frozenset(commands), path
        self._commands_setting = commands_setting
        # The package logs what servers send, with tracebacks; what matters of it its callers say.
        logging.getLogger("mcp").setLevel(logging.CRITICAL)
        logging.getLogger("client").setLevel(logging.CRITICAL)

    @asynccontextmanager
    async def open(self, server: Server, seconds: float) -> AsyncIterator[tuple[Client, Wire]]:
        """A client that has greeted the server. Whoever opens it bounds the whole, by `seconds`; each wait for bytes
        ends a little later, so that it is always they who say that there was no answer. When the block is left, a
        started server is dead.

        Raises NotConnected and NotAllowed when it is refused here; else whatever `mcp`, httpx2, anyio and the system
        raise, in groups: see `root` and `reason`."""
        wire = Wire()
        async with self._transport(server, seconds, wire) as transport, Client(transport, cache=None) as client:
            yield client, wire

    def _transport(self, server: Server, seconds: float, wire: Wire) -> AbstractAsyncContextManager[Transport]:
        if server.url is None:
            return self._process(server)
        return self._http(server.url, server.headers, seconds, wire)

    @asynccontextmanager
    async def _process(self, server: Server) -> AsyncIterator[Transport]:
        program, *arguments = server.command or [""]
        if program not in self._commands:
            listed = f"those that may be started ({self._commands_setting})"
            raise NotConnected(f"the command {program} is not among {listed}")
        found = program if os.path.isabs(program) else shutil.which(program, path=self._path)
        if found is None:
            raise NotConnected(f"there is no program {program} here")
        if wrong := [name for name in server.environment if not _VARIABLE.fullmatch(name)]:
            raise NotConnected(f"environment: {wrong[0]!r} is not the name of a variable")
        environment = {"PATH": self._path, **server.environment}
        yield started([found, *arguments], environment, most_bytes=MOST_BYTES)

    @asynccontextmanager
    async def _http(self, url: str, headers: Mapping[str, str], seconds: float, wire: Wire) -> AsyncIterator[Transport]:
        if wrong := bad_header(headers):
            raise NotConnected(wrong)
        await self._destinations.permit(url)
        bounded = _Bounded(MOST_BYTES, wire)
        async with httpx2.AsyncClient(
            transport=bounded, headers=headers, timeout=seconds + LATER_SECONDS, follow_redirects=False, trust_env=False
        ) as http:
            try:
                yield streamable_http_client(url, http_client=http, max_sse_event_size=MOST_BYTES)
            except Exception as error:
                if bounded.too_much:
                    raise TooMuch from error
                raise


class _Bounded(httpx2.AsyncBaseTransport):
    """Cuts off a server that says more than `most_bytes`, over all of its answers."""

    def __init__(self, most_bytes: int, wire: Wire) -> None:
        self._inner = httpx2.AsyncHTTPTransport(verify=trusted(), trust_env=False)
        self._left, self._wire = most_bytes, wire

    @property
    def too_much(self) -> bool:
        return self._left < 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.count(0)
        answered = self._wire.requests[_method(request)] = Answered()
        # Compressed, little on the wire may be much in memory.
        request.headers["accept-encoding"] = "identity"
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise
        except BaseException:
            answered.delivered = True
            raise
        answered.delivered, answered.status = True, response.status_code
        answered.retry_after = response.headers.get("retry-after")
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.ReadError("a compressed answer that nobody asked for")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Counted(response.stream, self)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()

    def count(self, read: int) -> None:
        self._left -= read
        if self.too_much:
            raise httpx2.ReadError("too much")


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, bounded: _Bounded) -> None:
        self._inner, self._bounded = inner, bounded

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._inner:
            self._bounded.count(len(part))
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


def _method(request: httpx2.Request) -> str:
    """Of the protocol: ``tools/call``; "" for what carries no request."""
    try:
        return str(json.loads(request.content)["method"])
    except (ValueError, KeyError, TypeError, httpx2.RequestNotRead):
        return ""


def root(error: BaseException) -> BaseException:
    """The first of a group, and the first of that."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def reason(error: BaseException) -> str:
    """What a failure of a connection means. May hold what the server said."""
    match root(error):
        case TooMuch():
            return f"it says more than {MOST_BYTES} bytes"
        case Ended() as ended:
            return f"it ended before it had answered, with code {ended}"
        case MCPError() as refusal:
            return _NOT_TEXT.sub("", f"it refuses: {refusal.error.message}")
        case httpx2.HTTPStatusError() as status:
            return f"it answers {status.response.status_code}"
        case httpx2.HTTPError() as failure:
            return f"it cannot be reached ({type(failure).__name__})"
        case OSError() as failure:
            return f"it cannot be started or reached ({failure.strerror or type(failure).__name__})"
        case other:
            return f"it does not speak MCP ({type(other).__name__})"
