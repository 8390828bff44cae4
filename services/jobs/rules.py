"""What may be started, and by whom: so that nothing fails at midnight that was wrong at noon."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bureau_contracts.jobs import DEFAULT_QUEUE, StartJob
from bureau_contracts.plans import faults
from bureau_contracts.problems import InvalidField
from bureau_contracts.steps import NewStep, StepKind
from kit.errors import Invalid
from kit.identity import Principal
from services.jobs.allowed import Allowed
from services.jobs.errors import FunctionForbidden
from services.jobs.limits import Limits

LAST_YEAR = 9000
"""In which a job may start."""


@dataclass(frozen=True)
class Rules:
    """What of the settings bears on it; services/jobs/settings.py explains each."""

    allowed: Allowed = field(default_factory=lambda: Allowed(()))
    retry_first_seconds: float = 1.0
    retry_longest_seconds: float = 60.0
    queues: Sequence[str] = (DEFAULT_QUEUE,)
    limits: Limits = field(default_factory=Limits)
    webhooks: bool = False
    """There is a key to sign them with."""
    max_result_bytes: int = 256 * 1024

    def check(self, principal: Principal, start: StartJob, place: str = "body") -> None:
        """Raises Invalid with all that is wrong; `place` is where the job stands in what was sent. Raises
        FunctionForbidden for a function that the caller may not call."""
        found = [*self._wrong(start), *faults(start.steps)]
        refuse([InvalidField(location=f"{place}.{each.location}", message=each.message) for each in found])
        self.check_functions(principal, start.steps)

    def check_edit(self, principal: Principal, steps: Sequence[NewStep], edited: int) -> None:
        """As `check`, of steps of which one was just given in `body.definition`."""
        at = f"steps.{edited}."
        found = faults(steps)
        refuse(
            [
                InvalidField(
                    location=f"body.definition.{each.location.removeprefix(at)}"
                    if each.location.startswith(at)
                    else each.location,
                    message=each.message,
                )
                for each in found
            ]
        )
        self.check_functions(principal, [steps[edited]])

    def check_result(self, result: object) -> None:
        """Of a step that a human approves. Raises Invalid when it is longer than a step's own may be."""
        size = len(json.dumps(result, ensure_ascii=False).encode())
        if size > self.max_result_bytes:
            message = f"has {size} bytes; at most {self.max_result_bytes} are kept"
            refuse([InvalidField(location="body.result", message=message)])

    def check_functions(self, principal: Principal, steps: Sequence[NewStep]) -> None:
        for function in _functions(steps):
            if not principal.may(f"function:{function}"):
                raise FunctionForbidden(function)

    def _wrong(self, start: StartJob) -> Iterator[InvalidField]:
        # A deadline counts from there, and calendars end with the year 9999.
        if start.start_at is not None and start.start_at.year > LAST_YEAR:
            yield InvalidField(location="start_at", message=f"comes after the year {LAST_YEAR}")
        if start.queue not in self.queues:
            known = ", ".join(self.queues)
            yield InvalidField(location="queue", message=f"there is no queue {start.queue}; there are: {known}")
        if start.webhook_url is not None:
            if not self.webhooks:
                yield InvalidField(location="webhook_url", message="there is no JOBS_WEBHOOK_SECRET to sign with")
            elif start.webhook_url not in self.allowed:
                yield InvalidField(location="webhook_url", message="is not under JOBS_HTTP_ALLOWED")


def refuse(wrong: Sequence[InvalidField]) -> None:
    """Raises Invalid unless there is nothing."""
    if wrong:
        text = "; ".join(f"{each.location}: {each.message}" for each in wrong[:5])
        raise Invalid(text, errors=list(wrong[:50]))


def _functions(steps: Sequence[NewStep]) -> Iterator[str]:
    for step in steps:
        if step.kind is StepKind.FUNCTION and step.function:
            yield step.function
        if step.map is not None:
            yield from _functions(step.map.steps)
