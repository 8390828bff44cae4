"""Calls tools of MCP servers, over streamable HTTP and stdio: a connection, or a process, for each call.

Needs the package `mcp` (the extra of that name); imported when used.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import mcp_types
from mcp import Client
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter

from bureau_contracts.shapes import JsonObject
from bureau_contracts.tools import ToolSource
from kit.destinations import NotAllowed
from kit.mcp_connection import McpConnections, NotConnected, Server, Wire, reason, root
from kit.mcp_process import TooMuch
from kit.secrets import SecretMissing, Secrets, without, without_in
from services.runtime.registered import Target
from services.runtime.tool_failures import OutcomeUnknown, ToolFailed, TryLater, of_status

IDEMPOTENCY_META = "agent-bureau/idempotency-key"
"""Under this name a call's `_meta` holds its idempotency key."""
PROCESSES = 8
"""Servers that are started at once; further calls wait for their turn, within their own time."""
MOST_PAGES = 100
ERROR_CHARS = 500

_METHOD = "tools/call"
_RESULT: TypeAdapter[mcp_types.CallToolResult | mcp_types.InputRequiredResult] = TypeAdapter(
    mcp_types.CallToolResult | mcp_types.InputRequiredResult
)
_MAY_HAVE_RUN = frozenset(
    {
        mcp_types.INTERNAL_ERROR,
        mcp_types.CONNECTION_CLOSED,
        mcp_types.REQUEST_TIMEOUT,
        mcp_types.PARSE_ERROR,
        mcp_types.INVALID_REQUEST,
    }
)
"""Codes that the client itself makes of answers that it cannot read, and what a server says of its own failures."""


class McpTool:
    """`CallTarget` for sources of the kinds `mcp_http` and `mcp_stdio`."""

    def __init__(self, connections: McpConnections, secrets: Secrets, seconds: float) -> None:
        self._connections, self._secrets, self._seconds = connections, secrets, seconds
        self._processes = asyncio.Semaphore(PROCESSES)

    async def __call__(self, target: Target, arguments: JsonObject, idempotency_key: str) -> Any:
        call = _Call(target.name, arguments, idempotency_key)
        secrets: dict[str, str] = {}
        try:
            secrets = await self._secrets.resolve({**target.record.headers, **target.record.environment})
            async with asyncio.timeout(self._seconds):
                if target.record.source is ToolSource.MCP_STDIO:
                    async with self._processes:
                        await self._run(call, target, secrets)
                else:
                    await self._run(call, target, secrets)
        except TimeoutError:
            if call.result is None:
                raise call.cut(f"no answer within {self._seconds:g} s") from None
        except (SecretMissing, NotAllowed, NotConnected) as refusal:
            raise ToolFailed(str(refusal)) from None
        except Exception as error:  # noqa: BLE001 - the package raises its own, httpx2's, anyio's and groups of them
            # Once it has answered, how the connection ends is nobody's business.
            if call.result is None:
                raise call.failure(error, secrets) from None
        assert call.result is not None
        return _value(call.result, secrets)

    async def _run(self, call: "_Call", target: Target, secrets: Mapping[str, str]) -> None:
        record = target.record
        server = Server(
            record.url,
            {name: secrets[name] for name in record.headers},
            record.command or (),
            {name: secrets[name] for name in record.environment},
        )
        async with self._connections.open(server, self._seconds) as (client, wire):
            call.wire = wire if record.url is not None else None
            await _look_up(client, call.name)
            call.sent = True
            call.result = await client.session.send_request(call.request, _RESULT)


class _Call:
    """One call, and how far it got."""

    def __init__(self, name: str, arguments: JsonObject, key: str) -> None:
        self.name = name
        meta: Any = {IDEMPOTENCY_META: key}
        self.request = mcp_types.CallToolRequest(
            params=mcp_types.CallToolRequestParams(name=name, arguments=arguments, _meta=meta)
        )
        self.sent = False
        self.wire: Wire | None = None
        """None for a process."""
        self.result: mcp_types.CallToolResult | mcp_types.InputRequiredResult | None = None

    def cut(self, why: str) -> ToolFailed:
        """Nobody answered."""
        return OutcomeUnknown(why) if self._delivered() else TryLater(why)

    def failure(self, error: Exception, secrets: Mapping[str, str]) -> ToolFailed:
        first = root(error)
        why = without(secrets, reason(first))[:ERROR_CHARS]
        if isinstance(first, ToolFailed):
            return first
        if isinstance(first, TooMuch):
            return OutcomeUnknown(why, hopeless=True) if self._delivered() else ToolFailed(why)
        if refusal := self._refused(why):
            return refusal
        if isinstance(first, MCPError) and first.error.code not in _MAY_HAVE_RUN:
            return ToolFailed(why)
        return self.cut(why)

    def _delivered(self) -> bool:
        if not self.sent or self.wire is None:
            return self.sent
        asked = self.wire.requests.get(_METHOD)
        return asked is not None and asked.delivered

    def _refused(self, why: str) -> ToolFailed | None:
        """By an HTTP status: of the call, or of the greeting before it."""
        asked = list(self.wire.requests.items()) if self.wire is not None else []
        refused = [each for method, each in asked if method and (method == _METHOD) == self.sent]
        if not refused or (status := refused[-1].status) is None or status < 300:
            return None
        failure = of_status(status, f"it answers {status}, {why}", refused[-1].retry_after)
        return TryLater(str(failure)) if isinstance(failure, OutcomeUnknown) and not self.sent else failure


async def _look_up(client: Client, name: str) -> None:
    """Asks whether the server still has this tool; the client learns from it which arguments go into headers."""
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        if any(each.name == name for each in page.tools):
            return
        cursor = page.next_cursor
        if not cursor:
            break
    raise ToolFailed(f"the server has no tool {name!r} any more")


def _value(result: mcp_types.CallToolResult | mcp_types.InputRequiredResult, secrets: Mapping[str, str]) -> Any:
    if isinstance(result, mcp_types.InputRequiredResult):
        raise ToolFailed("it asks for more input, which nobody here can give")
    said = [_part(each) for each in result.content]
    if result.is_error:
        text = "\n".join(str(each) for each in said) or "it failed and says no more"
        raise ToolFailed(without(secrets, text)[:ERROR_CHARS])
    if result.structured_content is not None:
        return without_in(secrets, result.structured_content)
    return without_in(secrets, said[0] if len(said) == 1 else said or None)


def _part(block: mcp_types.ContentBlock) -> Any:
    """Text as it is; of everything else what it is, without its bytes."""
    if isinstance(block, mcp_types.TextContent):
        return block.text
    told = block.model_dump(mode="json", by_alias=True, exclude_none=True)
    resource = told.get("resource")
    for holder in (told, resource if isinstance(resource, dict) else {}):
        for field in ("data", "blob"):
            if isinstance(encoded := holder.pop(field, None), str):
                with suppress(ValueError):
                    holder["bytes"] = len(encoded) * 3 // 4
    return told
