"""From an agent's record to a runner: built by its factory, or reached over HTTP or A2A. Kept until it changes."""

import asyncio
import inspect
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from bureau.agents import Agent, Tool
from bureau_contracts.registry import AgentRecord, Availability
from bureau_contracts.risk import Risk
from kit.factories import FactoryError, FactoryResolver
from services.runtime.a2a_agent import A2ARunner
from services.runtime.http_agent import HttpRunner
from services.runtime.loop import LoopLimits, LoopRunner
from services.runtime.models.catalogue import Models
from services.runtime.models.model import ToolSpec
from services.runtime.plain_agent import PlainRunner
from services.runtime.runner import Runner
from services.runtime.toolbox import BoundTool

T = TypeVar("T")

KEPT_AGENTS = 1000
BUILD_SECONDS = 20.0
BACK_OFF_SECONDS = 30.0
"""For how long a build that failed is not tried again, unless somebody asks the registry for it."""

_Key = tuple[str, int, str]


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


@dataclass
class _Failure:
    """A build that failed."""

    broken: AgentBroken
    until: float
    """When it may be tried again by itself."""
    shown: bool = False
    """The registry knows of it."""


Report = Callable[[AgentRecord, str | None], None]
"""Hears of every build; the text says why it failed."""


def unheard(record: AgentRecord, broken: str | None) -> None:
    """The report that goes nowhere."""


class Agents:
    """Builds each agent once per revision of its record. A build that fails is remembered for a while."""

    def __init__(
        self,
        factories: FactoryResolver,
        models: Models,
        http: httpx.AsyncClient,
        settings: AgentSettings,
        report: Report = unheard,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._factories, self._models, self._http, self._settings = factories, models, http, settings
        self._report, self._now = report, now
        self._kept: OrderedDict[_Key, Runner] = OrderedDict()
        self._failures: OrderedDict[_Key, _Failure] = OrderedDict()

    async def runner(self, record: AgentRecord) -> Runner:
        """Raises AgentBroken."""
        # A name that was deleted and registered again may count its revisions from 1 again.
        key = (record.name, record.revision, record.registered_at.isoformat())
        runner = self._kept.get(key)
        if runner is None:
            self._refuse_while_broken(key, record)
            runner = await self._first(key, record)
            _keep(self._kept, key, runner)
        self._kept.move_to_end(key)
        return runner

    def _refuse_while_broken(self, key: _Key, record: AgentRecord) -> None:
        failure = self._failures.get(key)
        if failure is None or self._now() >= failure.until:
            return
        health = record.health
        if health is not None and health.availability is Availability.UNAVAILABLE:
            failure.shown = True
        elif failure.shown:
            return  # it was known to be unavailable and is not any more: somebody wants it tried again
        raise AgentBroken(str(failure.broken), failure.broken.code)

    async def _first(self, key: _Key, record: AgentRecord) -> Runner:
        try:
            runner = await self._make(record)
        except AgentBroken as broken:
            _keep(self._failures, key, _Failure(broken, self._now() + BACK_OFF_SECONDS))
            self._report(record, str(broken))
            raise
        self._failures.pop(key, None)
        if record.factory_module is not None:  # whether a remote agent is there, the registry finds out by itself
            self._report(record, None)
        return runner

    async def _make(self, record: AgentRecord) -> Runner:
        if record.factory_module is None or record.factory_function is None:
            return self._remote(record)
        made = await self._build(record.factory_module, record.factory_function, record.factory_params)
        if _is_of_adk(made):
            return self._of_adk(record, made)
        if isinstance(made, Agent):
            return LoopRunner(
                record.name, made.instructions, _allowed(record, made.tools),
                self._models, record.model or made.model, self._settings.loop,
            )  # fmt: skip
        if _is_coroutine_function(made):
            _refuse_prompt(record)
            return PlainRunner(record.name, made, timeout_seconds=self._settings.seconds)
        raise AgentBroken(
            f"its factory made a {type(made).__name__}, which is neither a bureau.agents.Agent nor a coroutine function"
            " nor an agent of google.adk"
        )

    def _remote(self, record: AgentRecord) -> Runner:
        _refuse_prompt(record)
        if record.http is not None:
            return HttpRunner(record.name, record.http, self._http, timeout_seconds=self._settings.seconds)
        assert record.a2a is not None  # the contract: exactly one way
        return A2ARunner(record.name, record.a2a, self._http, timeout_seconds=self._settings.seconds)

    def _of_adk(self, record: AgentRecord, made: Any) -> Runner:
        from services.runtime.adk_agent import AdkRunner, takes_instructions  # ADK is an extra, and takes its time

        if record.model is not None:
            raise AgentBroken("an ADK agent brings its own model: its record cannot name one", "agent_not_runnable")
        if not takes_instructions(made):
            _refuse_prompt(record)
        return AdkRunner(record.name, made, record.tools, self._settings.loop)

    async def _build(self, module: str, function: str, parameters: dict[str, Any]) -> Any:
        # In a thread: importing somebody else's module may read files or take its time.
        try:
            async with asyncio.timeout(BUILD_SECONDS):
                return await asyncio.to_thread(self._factories.build, module, function, parameters)
        except FactoryError as error:
            raise AgentBroken(str(error)) from error
        except TimeoutError:
            raise AgentBroken(f"its factory took longer than {BUILD_SECONDS:g} s") from None


def _keep(kept: OrderedDict[_Key, T], key: _Key, value: T) -> None:
    kept[key] = value
    if len(kept) > KEPT_AGENTS:
        kept.popitem(last=False)


def _is_of_adk(made: object) -> bool:
    """Without importing ADK: whoever made one has done so."""
    return any(
        f"{each.__module__}.{each.__name__}" == "google.adk.agents.base_agent.BaseAgent" for each in type(made).__mro__
    )


def _refuse_prompt(record: AgentRecord) -> None:
    if record.prompt is not None:
        raise AgentBroken(
            f"its record names the prompt {record.prompt!r}, but it takes no instructions", "agent_not_runnable"
        )


def _is_coroutine_function(made: object) -> bool:
    """Also of an object that is called like one."""
    return inspect.iscoroutinefunction(made) or inspect.iscoroutinefunction(
        type(made).__call__ if callable(made) else None
    )


def _allowed(record: AgentRecord, tools: Sequence[Tool]) -> list[BoundTool]:
    """Those it brings. What else the list names is registered, or not there: who calls it is told."""
    allowed = None if record.tools is None else set(record.tools)
    return [_bound(each) for each in tools if allowed is None or each.name in allowed]


def _bound(tool: Tool) -> BoundTool:
    spec = ToolSpec(tool.name, tool.description, tool.parameters, tool.risk, tool.examples)
    return BoundTool(spec, tool.call, repeatable=tool.idempotent or tool.risk is Risk.READ)
