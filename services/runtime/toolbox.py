"""Runs the tool calls of one turn: allowed ones only, on arguments that fit, each within its time, together."""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bureau.agents import ToolContext
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import Risk, ToolTrace
from bureau_contracts.sessions import ToolCall, ToolResult
from bureau_contracts.shapes import JsonObject
from bureau_contracts.tools import ToolSource
from kit.logs import get_logger
from kit.telemetry import annotate, span
from services.runtime import gen_ai, policy
from services.runtime.arguments import misfit
from services.runtime.models.model import ToolSpec
from services.runtime.results import storable_result, storable_text

log = get_logger(__name__)

CALLS_AT_ONCE = 10
"""Of one model answer; what comes after them is not run."""
ERROR_CHARS = 2_000

COMPLETED, FAILED, REFUSED = "completed", "failed", "refused"


class CallTool(Protocol):
    async def __call__(self, arguments: JsonObject, context: ToolContext) -> Any: ...


@dataclass(frozen=True)
class BoundTool:
    """A tool that can be called, wherever it comes from."""

    spec: ToolSpec
    call: CallTool
    repeatable: bool = False
    """Whether the same call may be made twice: it only reads, or says so of itself."""
    source: ToolSource | None = None
    """Where it is registered; None: an agent brings it."""


@dataclass(frozen=True)
class Limits:
    timeout_seconds: float
    result_chars: int


class Caller(Protocol):
    """Who the calls are for: makes a tool's context from a call's idempotency key."""

    def context(self, idempotency_key: str) -> ToolContext: ...


class Toolbox:
    """One turn's tools. Remembers the outcome of every call that may change something: the same such call is never
    made twice in one turn."""

    def __init__(
        self, tools: Sequence[BoundTool], level: AutonomyLevel, caller: Caller, turn: str, limits: Limits
    ) -> None:
        self._tools = {each.spec.name: each for each in tools}
        self._level, self._caller, self._turn, self._limits = level, caller, turn, limits
        self._done: dict[str, ToolTrace] = {}
        self._rounds: list[dict[str, ToolTrace]] = []

    @property
    def traces(self) -> list[ToolTrace]:
        """Every call that was made or refused so far."""
        return [trace for each in self._rounds for trace in each.values()]

    async def run(self, calls: Sequence[ToolCall], malformed: Mapping[str, str]) -> list[ToolResult]:
        """One result per call, in order. Independent calls run together, identical ones once."""
        wanted: dict[str, ToolCall] = {}
        for call in calls[:CALLS_AT_ONCE]:
            key = self._key(call)
            if key not in self._done:
                wanted.setdefault(key, call)
        self._rounds.append({})
        async with asyncio.TaskGroup() as group:
            for key, call in wanted.items():
                group.create_task(self._one(key, call, malformed.get(call.call_id)))
        self._rounds[-1] = {key: self._rounds[-1][key] for key in wanted}  # as they were asked for
        return self.close(calls, f"not run: at most {CALLS_AT_ONCE} calls run at once")

    def close(self, calls: Sequence[ToolCall], reason: str) -> list[ToolResult]:
        """A result for each call of the last answer: its outcome, or `reason` where it has none. No call is ever left
        without a result."""
        known = self._done | (self._rounds[-1] if self._rounds else {})
        results = []
        for call in calls:
            trace = known.get(self._key(call))
            result, error = (trace.result, trace.error) if trace else (None, reason)
            results.append(ToolResult(call_id=call.call_id, name=call.name, result=result, error=error))
        return results

    async def _one(self, key: str, call: ToolCall, malformed: str | None) -> None:
        began = time.perf_counter()
        tool = self._tools.get(call.name)
        risk = tool.spec.risk if tool else policy.UNKNOWN_RISK
        status, result, error = FAILED, None, "it was cut off; whether it took effect is not known"
        attributes = {
            gen_ai.OPERATION: gen_ai.EXECUTE_TOOL, gen_ai.TOOL_NAME: call.name, gen_ai.TOOL_CALL_ID: call.call_id,
        }  # fmt: skip
        try:
            with span(f"{gen_ai.EXECUTE_TOOL} {call.name}", attributes):
                status, result, error = await self._outcome(tool, key, call, malformed)
                if status != COMPLETED:
                    annotate({"error.type": status})
        finally:
            duration = round((time.perf_counter() - began) * 1000, 3)
            log.info("tool_called", tool=call.name, status=status, risk=risk.value, duration_ms=duration)
            trace = ToolTrace(
                name=call.name, arguments=call.arguments, risk=risk, status=status, result=result,
                error=storable_text(error, ERROR_CHARS) if error else None, duration_ms=duration,
            )  # fmt: skip
            self._rounds[-1][key] = trace
            if risk is not Risk.READ:
                self._done[key] = trace

    async def _outcome(
        self, tool: BoundTool | None, key: str, call: ToolCall, malformed: str | None
    ) -> tuple[str, Any, str]:
        """Status, result, and what went wrong ("" for nothing)."""
        if tool is None:
            return FAILED, None, f"there is no tool {call.name!r}; there are: {', '.join(self._tools) or 'none'}"
        if not policy.allows(self._level, tool.spec.risk):
            return REFUSED, None, policy.refusal(self._level, tool.spec.risk)
        if malformed:
            return FAILED, None, malformed
        try:
            if wrong := await misfit(tool.spec.parameters, call.arguments):
                return FAILED, None, wrong
            async with asyncio.timeout(self._limits.timeout_seconds) as limit:
                value = await tool.call(call.arguments, self._caller.context(key))
            return COMPLETED, storable_result(value, self._limits.result_chars), ""
        except Exception as error:  # noqa: BLE001 - a tool is somebody else's code: its failure is a result
            if isinstance(error, TimeoutError) and limit.expired():
                within = f"{self._limits.timeout_seconds:g} s"
                return FAILED, None, f"no answer within {within}; whether it took effect is not known"
            log.warning("tool_failed", tool=tool.spec.name, error=type(error).__name__)
            return FAILED, None, spoken(error)

    def _key(self, call: ToolCall) -> str:
        """The same for the same call of the same turn, also when the turn is sent again."""
        written = json.dumps([self._turn, call.name, call.arguments], sort_keys=True, ensure_ascii=True)
        return f"call-{hashlib.sha256(written.encode()).hexdigest()[:32]}"


def spoken(error: Exception) -> str:
    """What an exception says: its own sentence, with its type where it has none."""
    text = str(error)
    return text if " " in text else f"{type(error).__name__}: {text}".rstrip(": ")
