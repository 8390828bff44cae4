"""How one step is executed: the port that each kind of step has a runner for, and how a runner reports failure."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bureau_contracts.plans import referring
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.steps import NewStep, StepKind
from kit.identity import Owner
from services.jobs.references import check_growth, fill, fill_url
from services.jobs.store import Checkpoint

LONGEST_NOTE = 500
"""Characters of what a step says at a checkpoint."""


class StepFailed(Exception):
    """The step did not do its work, and trying again would not help."""


class TryLater(StepFailed):
    """The step was refused for now, so did nothing: it may be tried again, not before `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OutcomeUnknown(StepFailed):
    """Nobody answered in time: the step may have done its work. Tried again only when it is repeatable."""


@dataclass(frozen=True)
class StepContext:
    """What a runner is told beside the step itself, and how it tells how far it is."""

    job_id: str
    title: str
    owner: Owner
    index: int
    attempt: int
    """Of this step: 1, 2, 3 …"""
    run: int
    """Of the job: 1, and one more each time that somebody retried it after it had failed."""
    autonomy_level: AutonomyLevel = AutonomyLevel.L2
    redo: int = 0
    """How often somebody went back to before this step after it had been done, or gave it another definition."""
    state: Any = None
    """What the step kept at its last checkpoint, when it begins again; None the first time."""
    tell: Callable[[Checkpoint], Awaitable[None]] | None = None

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this step; pass it to whatever has an effect. Another one when the step is done
        anew on purpose."""
        return f"{self.job_id}:{self.index}" + (f":{self.redo}" if self.redo else "")

    async def checkpoint(self, state: Any = None, *, progress: float | None = None, note: str = "") -> None:
        """To be called between two parts of the work: keeps `state` (JSON; None keeps nothing new) for when the step
        begins again, reports progress (0 … 1), and does not return when the job shall pause or is no longer this
        worker's."""
        if self.tell is None:
            return
        if progress is not None and not 0 <= progress <= 1:
            raise ValueError(f"progress is between 0 and 1, not {progress}")
        text = None if state is None else json.dumps(state, allow_nan=False)
        # Only what can be encoded is kept: a note may quote anything. And some kinds of numbers write themselves oddly.
        written = note[:LONGEST_NOTE].encode(errors="replace").decode()
        await self.tell(Checkpoint(text, None if progress is None else float(progress), written))


class Yielded(BaseException):
    """The step stopped at a checkpoint because its job is paused, or somebody else's. No step shall catch it by
    chance."""


class StepRunner(Protocol):
    async def run(self, step: NewStep, context: StepContext) -> Any:
        """The step's result, as JSON. References are filled in already. Raises StepFailed or a kind of it; whatever
        else it raises fails the step too. It is cancelled when its time is over, or its job is taken away."""


Runners = Mapping[StepKind, StepRunner]


def with_references(step: NewStep, scope: Mapping[str, Any]) -> NewStep:
    """The step with what it refers to filled in. Raises BadReference."""
    check_growth(referring(step), scope)
    message = fill(step.message, scope)
    if message is not None and not isinstance(message, str):
        message = json.dumps(message, ensure_ascii=False)
    request = step.request
    if request is not None:
        url, body = fill_url(request.url, scope), fill(request.body, scope)
        request = request.model_copy(update={"url": url, "body": body})
    over = step.map and step.map.model_copy(update={"items": fill(step.map.items, scope)})
    filled = {"message": message, "arguments": fill(step.arguments, scope), "request": request, "map": over}
    return step.model_copy(update=filled)
