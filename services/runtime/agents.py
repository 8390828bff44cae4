"""From an agent's record to a runner: built by its factory, or reached over HTTP. Kept until the record changes."""

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from bureau.agents import Agent, Tool
from bureau_contracts.registry import AgentRecord
from kit.factories import FactoryError, FactoryResolver
from kit.logs import get_logger
from services.runtime.http_agent import HttpRunner
from services.runtime.loop import LoopLimits, LoopRunner
from services.runtime.models.catalogue import Models
from services.runtime.models.model import ToolSpec
from services.runtime.plain_agent import PlainRunner
from services.runtime.runner import Runner
from services.runtime.toolbox import BoundTool

log = get_logger(__name__)

KEPT_AGENTS = 1000
BUILD_SECONDS = 20.0


class AgentBroken(Exception):
    """An agent cannot be made or reached; the message says why. It harms no other agent."""

    def __init__(self, reason: str, code: str = "agent_unavailable") -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class AgentSettings:
    seconds: float
    """For everything that an agent does in one turn."""
    loop: LoopLimits


class Agents:
    """Builds each agent once per revision of its record. A build that fails is tried again with the next message."""

    def __init__(
        self, factories: FactoryResolver, models: Models, http: httpx.AsyncClient, settings: AgentSettings
    ) -> None:
        self._factories, self._models, self._http, self._settings = factories, models, http, settings
        self._kept: OrderedDict[tuple[str, int, str], Runner] = OrderedDict()

    async def runner(self, record: AgentRecord) -> Runner:
        """Raises AgentBroken."""
        # A name that was deleted and registered again counts its revisions from 1 again.
        key = (record.name, record.revision, record.registered_at.isoformat())
        runner = self._kept.get(key)
        if runner is None:
            runner = await self._make(record)
            self._kept[key] = runner
            if len(self._kept) > KEPT_AGENTS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return runner

    async def _make(self, record: AgentRecord) -> Runner:
        if record.http is not None:
            return HttpRunner(record.name, record.http, self._http, timeout_seconds=self._settings.seconds)
        if record.factory_module is None or record.factory_function is None:
            raise AgentBroken("agents reached over A2A are not supported by this runtime yet", "agent_not_runnable")
        made = await self._build(record.factory_module, record.factory_function, record.factory_params)
        if isinstance(made, Agent):
            return LoopRunner(
                record.name, made.instructions, _allowed(record, made.tools),
                self._models, record.model or made.model, self._settings.loop,
            )  # fmt: skip
        if _is_coroutine_function(made):
            return PlainRunner(record.name, made, timeout_seconds=self._settings.seconds)
        raise AgentBroken(
            f"its factory made a {type(made).__name__}, which is neither a bureau.agents.Agent nor a coroutine function"
        )

    async def _build(self, module: str, function: str, parameters: dict[str, Any]) -> Any:
        # In a thread: importing somebody else's module may read files or take its time.
        try:
            async with asyncio.timeout(BUILD_SECONDS):
                return await asyncio.to_thread(self._factories.build, module, function, parameters)
        except FactoryError as error:
            raise AgentBroken(str(error)) from error
        except TimeoutError:
            raise AgentBroken(f"its factory took longer than {BUILD_SECONDS:g} s") from None


def _is_coroutine_function(made: object) -> bool:
    """Also of an object that is called like one."""
    return inspect.iscoroutinefunction(made) or inspect.iscoroutinefunction(
        type(made).__call__ if callable(made) else None
    )


def _allowed(record: AgentRecord, tools: Sequence[Tool]) -> list[BoundTool]:
    allowed = None if record.tools is None else set(record.tools)
    unknown = sorted((allowed or set()) - {each.name for each in tools})
    if unknown:
        log.warning("allowed_tool_missing", agent=record.name, tools=unknown)
    return [_bound(each) for each in tools if allowed is None or each.name in allowed]


def _bound(tool: Tool) -> BoundTool:
    spec = ToolSpec(tool.name, tool.description, tool.parameters, tool.risk, tool.examples)
    return BoundTool(spec, tool.call)
