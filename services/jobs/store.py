"""The two ports onto where jobs live: `JobStore` for the API, `WorkQueue` for a worker. Both see the same jobs."""

import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from bureau_contracts.events import Event
from bureau_contracts.jobs import JobStatus, StartJob
from bureau_contracts.steps import StepStatus
from kit.identity import Owner, Reach
from services.jobs.records import JobRecord, StepRecord, Summary, WorkerRecord
from services.jobs.states import Action


@dataclass(frozen=True)
class Bounds:
    """What keeps a store finite, and when it gives up."""

    lease_seconds: float = 5.0
    """A worker that was not heard of for so long has lost its jobs."""
    max_losses: int = 5
    """A job whose worker died so often within one step fails: it may be what kills them."""
    retention_seconds: float = 30 * 86_400
    """How long an ended job is kept, with its events and its idempotency key."""
    events_kept: int = 1000
    """Of each job, the newest."""


@dataclass(frozen=True)
class NewJob:
    job_id: str
    owner: Owner
    by: str
    """Who asked for it."""
    start: StartJob
    traceparent: str = ""
    idempotency_key: str | None = None
    fingerprint: str = ""
    """Of the request: the same key with another one is refused."""
    schedule_id: str | None = None
    """Of the schedule that starts it."""


@dataclass(frozen=True)
class Started:
    job_id: str
    status: JobStatus
    created: bool


@dataclass(frozen=True)
class Page:
    jobs: list[Summary]
    next_after: str | None
    """The job to go on after; None at the end. A page may be short, or empty, and still not be the last."""


@dataclass(frozen=True)
class EventBatch:
    events: list[Event]
    ended: bool
    """The job has ended and these were its last events."""


class News(Protocol):
    async def wait(self, seconds: float) -> None:
        """Returns when the job may have new events, or after `seconds`."""


class JobStore(Protocol):
    """Jobs, as their owners see and steer them.

    Promises: what a call acknowledged is kept; every change is one atomic step, made only when `states.TABLE` allows it
    in the state that the job is in at that moment; each change is an event, numbered 1, 2, 3 … within its job. A job
    outside of `reach` does not exist: JobNotFound. Any call raises StoreAway while the store does not answer.
    """

    async def start(self, job: NewJob) -> Started:
        """The same key and fingerprint give the job that was started first; the same key with another fingerprint
        raises IdempotencyKeyReused. Keys are the owner's own."""

    async def get(self, reach: Reach, job_id: str) -> JobRecord:
        """Raises JobNotFound."""

    async def page(
        self, reach: Reach, *, status: JobStatus | None, kind: str | None, limit: int, after: str | None
    ) -> Page:
        """Newest first."""

    async def steer(self, reach: Reach, job_id: str, action: Action, by: str) -> JobStatus:
        """One of `states.STEERING`; the new status. Raises JobNotFound or IllegalTransition."""

    async def decide(self, reach: Reach, job_id: str, step: int, action: Action, by: str, comment: str) -> JobStatus:
        """One of `states.DECISIONS`. Raises JobNotFound, StepNotFound, IllegalTransition, or StepNotWaiting when it is
        not the step that waits. Of a paused job also a step that has not begun may be skipped."""

    async def events(self, reach: Reach, job_id: str, *, after: int, limit: int) -> EventBatch:
        """What happened after event number `after`, oldest first."""

    def watch(self, job_id: str) -> AbstractAsyncContextManager[News]:
        """Nothing that happens within the block escapes `News.wait`: open it first, then read, then wait."""

    async def workers(self) -> list[WorkerRecord]:
        """Those that were heard of within the last few leases."""

    async def ping(self) -> str:
        """ "" when the store answers and keeps what it is given; raises kit.health.Degraded with what to set if not."""


@dataclass(frozen=True)
class Message:
    """A job's turn, as a worker got it from the queue. `epoch` is its fence: every new turn has a higher one, and
    what comes in under an older one is refused."""

    message_id: str
    tenant: str
    job_id: str
    epoch: int


@dataclass(frozen=True)
class Run:
    """A job that a worker holds, with the step that it is to run now."""

    message: Message
    record: JobRecord

    @property
    def index(self) -> int:
        return self.record.cursor

    @property
    def step(self) -> StepRecord:
        return self.record.steps[self.record.cursor]

    def scope(self) -> dict[str, Any]:
        """What the step may refer to: the job's input, and what passed before."""
        passed = {step.definition.name: step.result for step in self.record.steps if step.status is StepStatus.PASSED}
        return {"input": self.record.start.input, "steps": passed}

    def passed(self, result: str, next_index: int, next_attempts: int) -> "Run":
        """After a commit: the same job one step on. `result` is JSON, as it was recorded."""
        steps = list(self.record.steps)
        steps[self.index] = replace(steps[self.index], status=StepStatus.PASSED, result=json.loads(result))
        steps[next_index] = replace(steps[next_index], attempts=next_attempts)
        return Run(self.message, replace(self.record, steps=steps, cursor=next_index))


class FailureKind(StrEnum):
    RETRY = "retry"
    """Try again, `delay_seconds` from now."""
    FAILED = "failed"
    UNSURE = "unsure"
    """It may have happened, and may not be repeated: a human decides."""


@dataclass(frozen=True)
class Failure:
    kind: FailureKind
    error: str
    delay_seconds: float = 0


class LeaseLost(Exception):
    """The job was cancelled, or given to somebody else. What this worker did with it does not count."""


class WorkQueue(Protocol):
    """Jobs, as a worker gets and moves them.

    Promises: a message goes to one worker; a step's result is recorded at most once, and only by the worker whose
    epoch is the job's; recording, acknowledging and queueing the next turn are one atomic step. Calls may be repeated
    after StoreAway: what was done already is not done twice.
    """

    async def open(self) -> None:
        """Makes what the queue needs, when it is not there yet."""

    async def fetch(self, count: int, wait_seconds: float) -> list[Message]:
        """Up to `count` messages; waits for the first one."""

    async def take(self, message: Message, worker_id: str) -> Run | None:
        """Begins the job's next step. None when the message is out of date (the job was paused, cancelled …)."""

    async def commit(self, run: Run, result: str, *, keep: bool) -> Run | None:
        """The step passed with this JSON. Begins the next step and returns it, or None when this worker is done with
        the job; without `keep` the rest goes to the queue. Raises LeaseLost."""

    async def fail(self, run: Run, failure: Failure) -> None:
        """Raises LeaseLost."""

    async def release(self, message: Message) -> None:
        """Hands the job over: back to the queue, or to a human when its step may not be repeated."""

    async def wake(self) -> int:
        """Moves on the jobs whose moment has come. How many."""

    async def sweep(self) -> int:
        """Takes jobs from workers that were not heard of for a lease. How many messages were looked at."""

    async def expire(self) -> int:
        """Deletes ended jobs whose time is over, with all that belongs to them. How many."""

    async def leave(self, worker_id: str) -> None:
        """A worker that stops is no longer shown."""


class Pulse(Protocol):
    """A worker's sign of life. Not async, because it is called from a thread of its own, over a connection of its own:
    a step that blocks the event loop must not cost the worker its jobs."""

    def beat(self, worker: WorkerRecord, held: Sequence[Message]) -> list[Message]:
        """Renews the leases. Returns those of `held` that are lost: cancelled, or given to somebody else."""

    def close(self) -> None:
        """Ends the connection."""
