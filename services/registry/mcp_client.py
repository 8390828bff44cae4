"""Asks MCP servers which tools they offer. Needs the package `mcp` (the extra of that name); imported when used."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence

import mcp_types

from bureau_contracts.risk import Risk
from bureau_contracts.tools import ToolRecord
from kit.destinations import Destinations, NotAllowed
from kit.mcp_connection import McpConnections, NotConnected, Server, reason
from kit.secrets import SecretMissing, Secrets, without
from services.registry.listing import NotListed, Offer, Offers

SECONDS = 10.0
"""For all of it: start, greeting, every page, end."""
MOST_TOOLS = 500
MOST_PAGES = 100
MOST_SCHEMA_BYTES = 64 * 1024
"""Of one tool's parameters."""
MOST_SCHEMAS_BYTES = 1024 * 1024
"""Of all of them: they stay in memory."""
MOST_DESCRIPTION = 4000

_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class McpClient:
    """`ReadOffers` over streamable HTTP and stdio."""

    def __init__(
        self, secrets: Secrets, destinations: Destinations, commands: Sequence[str], path: str, seconds: float = SECONDS
    ) -> None:
        """`commands` may be started, see `McpConnections`."""
        self._secrets, self._seconds = secrets, seconds
        self._connections = McpConnections(destinations, commands, path, commands_setting="REGISTRY_MCP_COMMANDS")

    async def offers(self, record: ToolRecord) -> Offers:
        """Raises NotListed."""
        secrets: dict[str, str] = {}
        try:
            secrets = await self._secrets.resolve({**record.headers, **record.environment})
            async with asyncio.timeout(self._seconds):
                return await self._ask(record, secrets)
        except TimeoutError:
            raise NotListed(f"no answer within {self._seconds:g} s") from None
        except (SecretMissing, NotAllowed, NotConnected) as refusal:
            raise NotListed(str(refusal)) from None
        except Exception as error:  # noqa: BLE001 - the package raises its own, httpx2's, anyio's and groups of them
            raise NotListed(without(secrets, reason(error))[:500]) from None

    async def _ask(self, record: ToolRecord, secrets: Mapping[str, str]) -> Offers:
        server = Server(
            record.url,
            {name: secrets[name] for name in record.headers},
            record.command or (),
            {name: secrets[name] for name in record.environment},
        )
        async with self._connections.open(server, self._seconds) as (client, _):
            tools: list[mcp_types.Tool] = []
            cursor: str | None = None
            for _ in range(MOST_PAGES):
                page = await client.list_tools(cursor=cursor)
                tools += page.tools
                cursor = page.next_cursor
                if not cursor or len(tools) > MOST_TOOLS:
                    break
        return _usable(tools)


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


def is_idempotent(annotations: mcp_types.ToolAnnotations | None) -> bool:
    """Whether the server says that a call may be repeated. What only reads may, whatever else is said of it."""
    return annotations is not None and bool(annotations.read_only_hint or annotations.idempotent_hint)


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
            schema, hints = dict(tool.input_schema), tool.annotations
            offers[tool.name] = Offer(tool.name, description, schema, risk_of(hints), is_idempotent(hints))
    remarks = [
        f"{unnamed} with unusable or double names" if unnamed else "",
        f"{large} with too large parameters" if large else "",
        f"those after the first {MOST_TOOLS}" if len(tools) > MOST_TOOLS else "",
    ]
    remark = ", ".join(filter(None, remarks))
    return Offers(tuple(offers.values()), f"tools left out: {remark}" if remark else "")
