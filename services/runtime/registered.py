"""The registry's tools as the runtime calls them: found by the name that agents use, for one caller's tenant.

Whether a source is HTTP or MCP, only its adapter knows: `tool_http.py`, `tool_mcp.py`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from bureau.agents import ToolContext
from bureau.errors import NotFound as Missing
from bureau_contracts.risk import Risk
from bureau_contracts.shapes import JsonObject
from bureau_contracts.tools import OfferedTool, ToolRecord, ToolSource
from kit.tasks import together
from services.runtime.errors import ToolDisabled, ToolNotFound, ToolsNotListed
from services.runtime.models.model import ToolSpec
from services.runtime.ports import ToolCatalogue
from services.runtime.toolbox import BoundTool

AT_ONCE = 10
"""Sources that are asked for together when everything is listed."""

_SOURCE = re.compile(r"[a-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Target:
    """What is called: one tool of a source."""

    record: ToolRecord
    name: str
    """As its source names it."""


class CallTarget(Protocol):
    """Promises: one call is sent at most once; it ends within the adapter's own time limit; what it answers is bounded;
    no secret is in what it answers or raises."""

    async def __call__(self, target: Target, arguments: JsonObject, idempotency_key: str) -> Any:
        """What the tool answered, as JSON. Raises ToolFailed or a kind of it, and nothing else."""


class Registered:
    def __init__(self, catalogue: ToolCatalogue, adapters: Mapping[ToolSource, CallTarget]) -> None:
        self._catalogue, self._adapters = catalogue, adapters

    async def find(self, name: str) -> BoundTool:
        """``weather`` is an HTTP tool, ``files.read`` one of an MCP server. Raises ToolNotFound, also for what the
        caller's tenant may not see; ToolDisabled; ToolsNotListed while nobody knows yet what the source offers."""
        source, dot, _ = name.partition(".")
        if not _SOURCE.fullmatch(source):
            raise ToolNotFound(f"there is no tool {name!r}")
        try:
            record = await self._catalogue.get(source)
        except Missing as error:
            raise ToolNotFound(f"there is no tool {name!r}") from error
        if not record.enabled:
            raise ToolDisabled(f"the tool source {source!r} is switched off")
        offered = record.listing.tools if record.listing else []
        for each in offered:
            if each.name == name:
                return self._bound(record, each)
        if (
            dot
            and record.source is not ToolSource.HTTP
            and (record.listing is None or record.listing.listed_at is None)
        ):
            reason = record.listing.error if record.listing else ""
            raise ToolsNotListed(f"what {source!r} offers is not known{f': {reason}' if reason else ' yet'}")
        raise ToolNotFound(f"there is no tool {name!r}; {source!r} offers: {_names(offered)}")

    async def all(self, most: int) -> AsyncIterator[BoundTool]:
        """Of every source that is switched on and was listed, by name; of the first `most` sources."""
        page = await self._catalogue.page(limit=most)
        names = [each.name for each in page.tools if each.enabled]
        limit = asyncio.Semaphore(AT_ONCE)

        async def whole(name: str) -> ToolRecord | None:
            async with limit:
                try:
                    return await self._catalogue.get(name)
                except Missing:
                    return None

        for record in await together(*map(whole, names)):
            if record is not None and record.listing is not None:
                for each in record.listing.tools:
                    yield self._bound(record, each)

    def _bound(self, record: ToolRecord, offered: OfferedTool) -> BoundTool:
        name = offered.name if record.source is ToolSource.HTTP else offered.name.removeprefix(f"{record.name}.")
        call = partial(_call, self._adapters[record.source], Target(record, name))
        spec = ToolSpec(offered.name, offered.description, offered.parameters, offered.risk)
        return BoundTool(spec, call, repeatable=offered.idempotent or offered.risk is Risk.READ, source=record.source)


async def _call(adapter: CallTarget, target: Target, arguments: JsonObject, context: ToolContext) -> Any:
    return await adapter(target, arguments, context.idempotency_key)


def _names(offered: Sequence[OfferedTool]) -> str:
    names = [each.name for each in offered]
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "") if names else "nothing"
