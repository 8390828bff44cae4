"""Asks MCP servers which tools they offer. Needs the package `mcp` (the extra of that name); imported when used."""

import asyncio
import json
import logging
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2
import mcp_types
from mcp import Client
from mcp.client._transport import Transport
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from bureau_contracts.risk import Risk
from bureau_contracts.tools import ToolRecord, ToolSource
from services.registry.destinations import Destinations, NotAllowed
from services.registry.listing import NotListed, Offer, Offers
from services.registry.mcp_process import Ended, TooMuch, started
from services.registry.secrets import SecretMissing, Secrets, without

SECONDS = 10.0
"""For all of it: start, greeting, every page, end."""
MOST_TOOLS = 500
MOST_PAGES = 100
MOST_BYTES = 8 * 1024 * 1024
"""Of all that a server says."""
MOST_SCHEMA_BYTES = 64 * 1024
"""Of one tool's parameters."""
MOST_SCHEMAS_BYTES = 1024 * 1024
"""Of all of them: they stay in memory."""
MOST_DESCRIPTION = 4000

_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class McpClient:
    """`ReadOffers` over streamable HTTP and stdio."""

    def __init__(
        self, secrets: Secrets, destinations: Destinations, commands: Sequence[str], path: str, seconds: float = SECONDS
    ) -> None:
        """`commands` may be started: absolute paths, or names that are looked up in `path`, which is all that a server
        gets to know of our environment."""
        self._secrets, self._destinations = secrets, destinations
        self._commands, self._path, self._seconds = frozenset(commands), path, seconds
        # The package logs what servers send, with tracebacks; what matters of it stands in the listing.
        logging.getLogger("mcp").setLevel(logging.CRITICAL)
        logging.getLogger("client").setLevel(logging.CRITICAL)

    async def offers(self, record: ToolRecord) -> Offers:
        """Raises NotListed."""
        secrets: dict[str, str] = {}
        try:
            secrets = await self._secrets.resolve({**record.headers, **record.environment})
            async with asyncio.timeout(self._seconds):
                return await self._ask(record, secrets)
        except TimeoutError:
            raise NotListed(f"no answer within {self._seconds:g} s") from None
        except (SecretMissing, NotAllowed, NotListed) as reason:
            raise NotListed(str(reason)) from None
        except Exception as error:  # noqa: BLE001 - the package raises its own, httpx2's, anyio's and groups of them
            raise NotListed(without(secrets, _reason(error))[:500]) from None

    async def _ask(self, record: ToolRecord, secrets: Mapping[str, str]) -> Offers:
        async with self._transport(record, secrets) as transport, Client(transport, cache=None) as client:
            tools: list[mcp_types.Tool] = []
            cursor: str | None = None
            for _ in range(MOST_PAGES):
                page = await client.list_tools(cursor=cursor)
                tools += page.tools
                cursor = page.next_cursor
                if not cursor or len(tools) > MOST_TOOLS:
                    break
        return _usable(tools)

    def _transport(self, record: ToolRecord, secrets: Mapping[str, str]) -> AbstractAsyncContextManager[Transport]:
        if record.source is ToolSource.MCP_STDIO:
            return self._process(record, secrets)
        return self._http(record, secrets)

    @asynccontextmanager
    async def _process(self, record: ToolRecord, secrets: Mapping[str, str]) -> AsyncIterator[Transport]:
        program, *arguments = record.command or [""]
        if program not in self._commands:
            raise NotListed(f"the command {program} is not among those that may be started (REGISTRY_MCP_COMMANDS)")
        found = program if os.path.isabs(program) else shutil.which(program, path=self._path)
        if found is None:
            raise NotListed(f"there is no program {program} here")
        if wrong := [name for name in record.environment if not _VARIABLE.fullmatch(name)]:
            raise NotListed(f"environment: {wrong[0]!r} is not the name of a variable")
        environment = {"PATH": self._path} | {name: secrets[name] for name in record.environment}
        yield started([found, *arguments], environment, most_bytes=MOST_BYTES)

    @asynccontextmanager
    async def _http(self, record: ToolRecord, secrets: Mapping[str, str]) -> AsyncIterator[Transport]:
        assert record.url is not None
        if wrong := [name for name in record.headers if not _HEADER.fullmatch(name)]:
            raise NotListed(f"headers: {wrong[0]!r} is not the name of a header")
        await self._destinations.permit(record.url)
        bounded = _Bounded(MOST_BYTES)
        headers = {name: secrets[name] for name in record.headers}
        async with httpx2.AsyncClient(
            transport=bounded, headers=headers, timeout=self._seconds, follow_redirects=False, trust_env=False
        ) as http:
            try:
                yield streamable_http_client(record.url, http_client=http, max_sse_event_size=MOST_BYTES)
            except Exception as error:
                if bounded.too_much:
                    raise TooMuch from error
                raise


class _Bounded(httpx2.AsyncBaseTransport):
    """Cuts off a server that says more than `most_bytes`, over all of its answers."""

    def __init__(self, most_bytes: int) -> None:
        self._inner, self._left = httpx2.AsyncHTTPTransport(trust_env=False), most_bytes

    @property
    def too_much(self) -> bool:
        return self._left < 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.count(0)
        # Compressed, little on the wire may be much in memory.
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
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


def risk_of(annotations: mcp_types.ToolAnnotations | None) -> Risk | None:
    """What a server's annotations say of a call's risk; None when they say nothing.

    After the protocol's own definitions (`ToolAnnotations` in mcp_types): a tool that is not read-only is destructive
    unless it says that it is not, and `destructiveHint` means something only then. Somebody who writes annotations
    without either hint has not spoken of risk. All of them are hints: whoever does not trust a server sets `risk`.
    """
    if annotations is None or (annotations.read_only_hint is None and annotations.destructive_hint is None):
        return None
    if annotations.read_only_hint:
        return Risk.READ
    return Risk.WRITE if annotations.destructive_hint is False else Risk.CRITICAL


def _usable(tools: Sequence[mcp_types.Tool]) -> Offers:
    """Without what cannot be named, kept or counted; says how much that was."""
    offers: dict[str, Offer] = {}
    unnamed, large, left = 0, 0, MOST_SCHEMAS_BYTES
    for tool in tools[:MOST_TOOLS]:
        size = len(json.dumps(tool.input_schema))
        if not _NAME.fullmatch(tool.name) or tool.name in offers:
            unnamed += 1
        elif size > min(MOST_SCHEMA_BYTES, left):
            large += 1
        else:
            left -= size
            description = _NOT_TEXT.sub("", tool.description or "")[:MOST_DESCRIPTION]
            offers[tool.name] = Offer(tool.name, description, dict(tool.input_schema), risk_of(tool.annotations))
    remarks = [
        f"{unnamed} with unusable or double names" if unnamed else "",
        f"{large} with too large parameters" if large else "",
        f"those after the first {MOST_TOOLS}" if len(tools) > MOST_TOOLS else "",
    ]
    remark = ", ".join(filter(None, remarks))
    return Offers(tuple(offers.values()), f"tools left out: {remark}" if remark else "")


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case TooMuch():
            return f"it says more than {MOST_BYTES} bytes"
        case Ended():
            return f"it ended before it had answered, with code {error}"
        case MCPError():
            return _NOT_TEXT.sub("", f"it refuses: {error.error.message}")
        case httpx2.HTTPStatusError():
            return f"it answers {error.response.status_code}"
        case httpx2.HTTPError():
            return f"it cannot be reached ({type(error).__name__})"
        case OSError():
            return f"it cannot be started or reached ({error.strerror or type(error).__name__})"
        case _:
            return f"it does not speak MCP ({type(error).__name__})"
