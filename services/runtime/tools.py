"""The tools that agents and their callers may use: listed, and called one by one under the policy that turns have."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bureau.agents import ToolContext
from bureau_contracts.registry import AgentRecord
from bureau_contracts.runtime import CallStatus, CallTool, ToolCalled, ToolInfo, ToolList
from kit.errors import Invalid, Refusal
from kit.identity import Principal
from kit.ids import new_id
from kit.logs import get_logger
from kit.tasks import together
from kit.telemetry import annotate, current_trace_id, span
from services.runtime import gen_ai, policy
from services.runtime.agents import AgentBroken, Agents
from services.runtime.arguments import BadSchema, misfit
from services.runtime.errors import (
    AgentDiffers,
    AgentDisabled,
    AgentUnavailable,
    ApprovalNeeded,
    ArgumentsInvalid,
    ToolNotAllowed,
    ToolNotFound,
    ToolUnusable,
)
from services.runtime.ports import Catalogue
from services.runtime.registered import Registered
from services.runtime.results import fitting, storable_text
from services.runtime.tool_failures import OutcomeUnknown, ToolFailed, TryLater
from services.runtime.toolbox import ERROR_CHARS, BoundTool, Limits, spoken

log = get_logger(__name__)

LISTED_AGENTS = 200
"""Agents whose tools are listed at once; each has to be built for it."""
LISTED_SOURCES = 200
AT_ONCE = 10
"""Names of one allow-list that are looked up together."""


_NAME = re.compile(r"[a-z0-9_-]{1,64}")
"""Of an agent or a source; see the contracts."""


@dataclass(frozen=True)
class _Found:
    tool: BoundTool
    agent: AgentRecord | None

    @property
    def address(self) -> str:
        """What it is called by without naming an agent."""
        name = self.tool.spec.name
        return f"{self.agent.name}/{name}" if self.agent is not None and self.tool.source is None else name


class Tools:
    """An agent's own tool is ``parcels/list_parcels``, a registered one ``files.read`` or ``weather``. Neither a
    source's nor an agent's name holds a slash or a dot, so a name means one tool. With an agent beside it, a plain
    name is first one that the agent brings."""

    def __init__(self, catalogue: Catalogue, agents: Agents, registered: Registered, limits: Limits) -> None:
        self._catalogue, self._agents, self._registered = catalogue, agents, registered
        self._limits = limits

    async def call(self, principal: Principal, name: str, request: CallTool) -> ToolCalled:
        """Raises a Refusal or a BureauError while nothing was sent; whatever comes of the call itself is an answer."""
        found = await self._find(name, request.agent)
        self._require_level(found, request)
        await _require_fit(found.tool, request)
        key = request.idempotency_key or new_id("call")
        context = ToolContext(principal.tenant, principal.subject, "", key)
        began = time.perf_counter()
        attributes = {gen_ai.OPERATION: gen_ai.EXECUTE_TOOL, gen_ai.TOOL_NAME: found.address}
        with span(f"{gen_ai.EXECUTE_TOOL} {found.address}", attributes):
            answer = await self._outcome(found, request, context)
            if answer.status is not CallStatus.COMPLETED:
                annotate({"error.type": answer.status.value})
        answer.duration_ms = round((time.perf_counter() - began) * 1000, 3)
        log.info(
            "tool_called", tool=answer.name, status=answer.status.value, risk=answer.risk.value,
            duration_ms=answer.duration_ms,
        )  # fmt: skip
        return answer

    async def usable(self, agent: str | None) -> ToolList:
        """What one agent may use, whether it is enabled or not; or what all enabled ones that can be built bring, and
        what is registered."""
        if agent is None:
            return ToolList(tools=[*await self._brought_by_all(), *await self._all_registered()])
        record = await self._catalogue.get(agent)
        own = await self._own(record)
        brought = {each.spec.name for each in own}
        beside = await self._known([each for each in record.tools or [] if each not in brought])
        return ToolList(tools=[_info(_Found(each, record)) for each in (*own, *beside)])

    async def _find(self, name: str, agent: str | None) -> _Found:
        owner, slash, plain = name.partition("/")
        if slash and _NAME.fullmatch(owner):
            if agent not in (None, owner):
                raise AgentDiffers(f"agent: {agent!r}, but {name!r} is a tool of {owner!r}")
            record = await self._enabled(owner)
            return _Found(_named(await self._own(record), plain, record), record)
        if agent is None:
            return _Found(await self._registered.find(name), None)
        record = await self._enabled(agent)
        own = {each.spec.name: each for each in await self._own(record)}
        if name in own:
            return _Found(own[name], record)
        if name not in (record.tools or ()):
            raise ToolNotAllowed(f"{agent!r} brings no tool {name!r}, and its allow-list does not name one")
        return _Found(await self._registered.find(name), record)

    async def _enabled(self, agent: str) -> AgentRecord:
        record = await self._catalogue.get(agent)
        if not record.enabled:
            raise AgentDisabled(f"agent {agent!r} is switched off")
        return record

    async def _own(self, record: AgentRecord) -> Sequence[BoundTool]:
        try:
            return (await self._agents.runner(record)).tools
        except AgentBroken as broken:
            raise AgentUnavailable(f"agent {record.name!r}: {broken}", code=broken.code) from broken

    def _require_level(self, found: _Found, request: CallTool) -> None:
        level, risk = request.autonomy_level, found.tool.spec.risk
        if found.agent is not None:
            level = policy.effective_level(level, found.agent.autonomy_ceiling)
        if not policy.allows(level, risk):
            log.info("tool_refused", tool=found.address, risk=risk.value, level=level.value)
            raise ApprovalNeeded(policy.refusal(level, risk))

    async def _outcome(self, found: _Found, request: CallTool, context: ToolContext) -> ToolCalled:
        tool = found.tool
        answer = ToolCalled(
            name=found.address, agent=found.agent.name if found.agent else "", status=CallStatus.COMPLETED,
            risk=tool.spec.risk, repeatable=tool.repeatable, idempotency_key=context.idempotency_key,
            trace_id=current_trace_id(),
        )  # fmt: skip
        try:
            value = await self._called(tool, request, context)
            answer.result, answer.cut = fitting(value, self._limits.result_chars)
        except ToolFailed as failure:
            answer.status = _status(failure, tool.repeatable)
            answer.error = storable_text(str(failure), ERROR_CHARS)
            answer.retry_after = failure.retry_after if isinstance(failure, TryLater) else None
        return answer

    async def _called(self, tool: BoundTool, request: CallTool, context: ToolContext) -> object:
        """Raises ToolFailed and its kinds only."""
        if tool.source is not None:
            return await tool.call(request.arguments, context)  # bounds itself: it alone knows what it has sent
        seconds = self._limits.timeout_seconds
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await tool.call(request.arguments, context)
        except ToolFailed:
            raise
        except (TimeoutError, ConnectionError) as error:
            raise OutcomeUnknown(f"no answer within {seconds:g} s" if limit.expired() else spoken(error)) from error
        except Exception as error:
            raise ToolFailed(spoken(error)) from error

    async def _known(self, names: Sequence[str]) -> list[BoundTool]:
        """Those of them that are registered and can be called now."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> BoundTool | None:
            async with limit:
                try:
                    return await self._registered.find(name)
                except Refusal:
                    return None

        return [each for each in await together(*map(one, names)) if each is not None]

    async def _all_registered(self) -> list[ToolInfo]:
        return [_info(_Found(each, None)) async for each in self._registered.all(LISTED_SOURCES)]

    async def _brought_by_all(self) -> list[ToolInfo]:
        tools: list[ToolInfo] = []
        number = 0
        async for record in self._catalogue.all(enabled_only=True):
            number += 1
            if number > LISTED_AGENTS:
                raise Invalid(f"agent: there are more than {LISTED_AGENTS} agents; name one", code="agent_needed")
            try:
                tools += [_info(_Found(each, record)) for each in (await self._agents.runner(record)).tools]
            except AgentBroken as broken:
                log.warning("agent_broken", agent=record.name, code=broken.code, reason=str(broken))
        return tools


def _named(tools: Sequence[BoundTool], name: str, record: AgentRecord) -> BoundTool:
    for each in tools:
        if each.spec.name == name:
            return each
    names = ", ".join(each.spec.name for each in tools)
    raise ToolNotFound(f"{record.name!r} has no tool {name!r}; it has {names or 'none that can be called'}")


async def _require_fit(tool: BoundTool, request: CallTool) -> None:
    try:
        wrong = await misfit(tool.spec.parameters, request.arguments)
    except BadSchema as error:
        raise ToolUnusable(f"the tool's parameters are no schema that can be checked: {error}") from error
    if wrong:
        raise ArgumentsInvalid(wrong)


def _status(failure: ToolFailed, repeatable: bool) -> CallStatus:
    """What may be repeated has no unknown outcome: it is tried again."""
    match failure:
        case TryLater():
            return CallStatus.TRY_LATER
        case OutcomeUnknown() if not repeatable:
            return CallStatus.UNKNOWN_OUTCOME
        case OutcomeUnknown() if not failure.hopeless:
            return CallStatus.TRY_LATER
        case _:
            return CallStatus.FAILED


def _info(found: _Found) -> ToolInfo:
    spec = found.tool.spec
    return ToolInfo(
        name=spec.name, description=spec.description, risk=spec.risk, parameters=spec.parameters,
        agent=found.agent.name if found.agent else "", source=found.tool.source, address=found.address,
        repeatable=found.tool.repeatable,
    )  # fmt: skip
