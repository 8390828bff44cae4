"""What one attempt at a step comes to. Knows runners, time-outs and sizes; records nothing."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bureau_contracts.steps import StepKind
from kit.logs import get_logger
from services.jobs.records import repeatable
from services.jobs.references import BadReference
from services.jobs.step_map import children_of
from services.jobs.steps import OutcomeUnknown, Runners, StepContext, StepFailed, TryLater, Yielded, with_references
from services.jobs.store import Checkpoint, Failure, FailureKind, NewJob, Run

log = get_logger(__name__)

LONGEST_ASKED = 3600.0
"""Seconds: who is refused with a longer Retry-After comes back earlier."""
LONGEST_ERROR = 2000
"""Characters of an error that are kept with a step."""
MOST_LEVELS = 64
"""Of nesting in a result, as in what callers send: it may become a child's input, and not every parser reads deeper
ones."""

Tell = Callable[[Run, Checkpoint], Awaitable[None]]


@dataclass(frozen=True)
class Passed:
    result: str
    """JSON."""
    cost: float = 0


@dataclass(frozen=True)
class FannedOut:
    children: list[NewJob]


Outcome = Passed | FannedOut | Failure


@dataclass(frozen=True)
class Executor:
    """services/jobs/settings.py explains the numbers."""

    runners: Runners
    max_result_bytes: int = 256 * 1024
    retry_first_seconds: float = 1.0
    retry_longest_seconds: float = 60.0

    async def execute(self, run: Run, tell: Tell) -> Outcome:
        """`tell` is called with what the step says at its checkpoints; whatever that raises ends the step."""
        try:
            return await self._attempt(run, tell)
        except StepFailed as error:
            return self._failure(run, error)
        except BadReference as error:
            return self._failure(run, StepFailed(str(error)))
        except BaseExceptionGroup as group:
            # Of a function that does several things at once, one of which was at a checkpoint.
            if group.subgroup(Yielded) is not None:
                raise Yielded from group
            log.exception("step_broke", job=run.record.job_id, step=run.index)
            return self._failure(run, StepFailed(repr(group)))
        except (Exception, SystemExit) as error:
            # A function that would end the process ends its step.
            log.exception("step_broke", job=run.record.job_id, step=run.index)
            return self._failure(run, StepFailed(repr(error)))

    async def _attempt(self, run: Run, tell: Tell) -> Outcome:
        definition = run.step.definition
        step = with_references(definition, run.scope())
        if step.kind is StepKind.MAP:
            children = children_of(run.record, step)
            return FannedOut(children) if children else Passed("[]")
        runner = self.runners.get(step.kind)
        if runner is None:
            raise StepFailed(f"this worker does not run steps of kind {step.kind}")
        try:
            async with asyncio.timeout(definition.timeout_seconds):
                result = await runner.run(step, _context(run, tell))
        except TimeoutError as error:
            raise OutcomeUnknown(f"no result within {definition.timeout_seconds:g} s") from error
        return Passed(self._as_json(result), _cost(step.kind, result))

    def _as_json(self, result: Any) -> str:
        try:
            text = json.dumps(result, ensure_ascii=False, allow_nan=False)
            size = len(text.encode())
        except (TypeError, ValueError, RecursionError) as error:
            raise StepFailed(f"the result cannot be written as JSON: {error}") from error
        if size > self.max_result_bytes:
            raise StepFailed(f"the result has {size} bytes; at most {self.max_result_bytes} are kept")
        if text.count("{") + text.count("[") > MOST_LEVELS and _deeper(result, MOST_LEVELS):
            raise StepFailed(f"the result nests deeper than {MOST_LEVELS} levels")
        return text

    def _failure(self, run: Run, error: StepFailed) -> Failure:
        step, attempts = run.step.definition, run.step.attempts
        # Only what can be encoded is kept: an error may quote anything.
        text = str(error)[:LONGEST_ERROR].encode(errors="replace").decode()
        unsure = isinstance(error, OutcomeUnknown)
        if unsure and not repeatable(step):
            return Failure(FailureKind.UNSURE, text)
        if (unsure or isinstance(error, TryLater)) and attempts < step.max_attempts:
            asked = (error.retry_after or 0) if isinstance(error, TryLater) else 0
            pause = self._pause(step.backoff_seconds, attempts)
            return Failure(FailureKind.RETRY, text, max(pause, min(asked, LONGEST_ASKED)))
        return Failure(FailureKind.FAILED, text)

    def _pause(self, first: float | None, attempt: int) -> float:
        """Seconds before the attempt that comes after this one (1, 2, 3 …)."""
        first = first or self.retry_first_seconds
        whole = min(max(first, self.retry_longest_seconds), first * 2.0 ** (attempt - 1))
        return whole * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret


def _deeper(value: Any, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else None
    return children is not None and (levels == 0 or any(_deeper(child, levels - 1) for child in children))


def _context(run: Run, tell: Tell) -> StepContext:
    record, step = run.record, run.step
    return StepContext(
        record.job_id, record.start.title, record.owner, run.index, step.attempts, record.attempt,
        record.start.autonomy_level, step.redo, step.state, lambda said: tell(run, said),
    )  # fmt: skip


def _cost(kind: StepKind, result: Any) -> float:
    """US dollars, as the runtime tells them."""
    cost = result.get("cost") if kind is StepKind.AGENT and isinstance(result, dict) else None
    return float(cost) if isinstance(cost, int | float) and cost > 0 else 0
