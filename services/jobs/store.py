"""The two ports onto where jobs live: `JobStore` for the API, `WorkQueue` for a worker. Both see the same jobs."""

import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from bureau_contracts.events import Event
from bureau_contracts.jobs import DEFAULT_QUEUE, JobStatus, Load, StartJob
from bureau_contracts.steps import NewStep, StepStatus
from kit.identity import Owner, Reach
from services.jobs.limits import Limits
from services.jobs.records import JobRecord, StepRecord, Summary, WorkerRecord
from services.jobs.states import Action

MOST_CHILDREN = 1000
"""Jobs that belong to one job, or to jobs that do, and have not ended."""
MOST_EDITED = 4_000_000
"""Bytes of definitions that edits of one job have replaced, all of which are kept; beyond that it is edited no more."""
MOST_GENERATIONS = 5
"""Jobs above a job: its parent, that one's parent …"""


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
    max_result_bytes: int = 256 * 1024
    """Of what the children of a `map` step have brought about, together."""
    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    """All that there are."""
    limits: Limits = field(default_factory=Limits)


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
    item: int | None = None
    """Of a `map` step's list; then the store names the job."""


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


class JobList(StrEnum):
    """Which jobs a page is of."""

    ALL = "index"
    """But for children."""
    DEAD = "dead"
    """Those that failed, unless a human rejected them."""
    INBOX = "inbox"
    """Those that wait for the caller, whom a breakpoint names as approver."""


@dataclass(frozen=True)
class Verdict:
    """A human's decision on a step."""

    action: Action
    by: str
    comment: str = ""
    result: Any = None
    administers: bool = False
    """Whoever decides may do so whomever a breakpoint names."""


@dataclass(frozen=True)
class QueueLoad:
    """Of one queue: what the tenant has in it, and what everybody has."""

    queue: str
    own: Load
    everybody: Load


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

    async def start(self, jobs: Sequence[NewJob]) -> list[Started]:
        """All or none. The same key and fingerprint give the job that was started first; the same key with another
        fingerprint raises IdempotencyKeyReused. Keys are the owner's own. Raises QueueFull, StoreFull,
        ParentNotFound when the parent is not the same owner's or has ended, and Crowded when it has too many children
        or parents."""

    async def get(self, reach: Reach, job_id: str) -> JobRecord:
        """Also for whoever a breakpoint of it names as approver. Raises JobNotFound."""

    async def page(
        self, reach: Reach, which: JobList, *, status: JobStatus | None, kind: str | None, limit: int, after: str | None
    ) -> Page:
        """Newest first. `INBOX` is the one of `reach.user`, which must be set."""

    async def children(
        self, reach: Reach, parent_id: str, *, status: JobStatus | None, kind: str | None, limit: int, after: str | None
    ) -> Page:
        """Those of one job, newest first. Raises JobNotFound when it is not within reach."""

    async def steer(
        self, reach: Reach, job_id: str, action: Action, by: str, *, from_step: int | None = None
    ) -> JobStatus:
        """One of `states.STEERING`, of its children too; the new status. Raises JobNotFound or IllegalTransition; a
        retry also StepNotFound when the job has not come so far as `from_step`, and ChildOfMap."""

    async def decide(self, reach: Reach, job_id: str, step: int, verdict: Verdict) -> JobStatus:
        """One of `states.DECISIONS`. Raises JobNotFound, StepNotFound, IllegalTransition, NotAnApprover, or
        StepNotWaiting when it is not the step that waits. Of a paused job any step that has not begun may be skipped,
        and the one that it stands at."""

    async def edit(
        self, reach: Reach, seen: JobRecord, step: int, definition: NewStep, by: str, comment: str, *,
        administers: bool = False,
    ) -> bool:  # fmt: skip
        """Another definition for a step that has not begun; the old one is kept. False, and nothing done, when a step
        was edited since the job was `seen`. Raises JobNotFound, StepNotFound, IllegalTransition, StepNotWaiting,
        TooManyEdits, or NotAnApprover for a breakpoint that names others."""

    async def events(self, reach: Reach, job_id: str, *, after: int, limit: int) -> EventBatch:
        """What happened after event number `after`, oldest first."""

    def watch(self, *job_ids: str) -> AbstractAsyncContextManager[News]:
        """News of all of them together. Nothing that happens within the block escapes `News.wait`: open it first, then
        read, then wait."""

    async def workers(self) -> list[WorkerRecord]:
        """Those that were heard of within the last few leases."""

    async def queues(self, tenant: str) -> list[QueueLoad]:
        """Of every queue that there is."""

    async def ping(self) -> str:
        """The store answers and keeps what it is given: what is worth knowing of that, or "". Raises
        kit.health.Degraded with what to set if it does not keep it, or refuses it."""


@dataclass(frozen=True)
class Claim:
    """A worker's right to a job. `epoch` is its fence: every new claim has a higher one, and what comes in under an
    older one is refused."""

    tenant: str
    job_id: str
    epoch: int


@dataclass(frozen=True)
class Run:
    """A job that a worker holds, with the step that it is to run now."""

    claim: Claim
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
        return Run(self.claim, replace(self.record, steps=steps, cursor=next_index))


@dataclass(frozen=True)
class Checkpoint:
    """What a step says while it runs. None leaves what was said before."""

    state: str | None = None
    """JSON; given back when the step begins again."""
    progress: float | None = None
    note: str = ""


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

    Promises: a job has one worker; a step's result is recorded at most once, and only by the worker whose epoch is the
    job's; recording it and queueing what comes next are one atomic step. No limit is exceeded, tenants take turns, and
    nobody waits for ever. Calls may be repeated after StoreAway: what was done already is not done twice.
    """

    async def fetch(self, worker_id: str, number: int, count: int, wait_seconds: float) -> list[Run]:
        """Up to `count` jobs of this worker's queues, each with its next step begun; waits for the first one. The same
        `number` gives the same jobs again; it grows by one with every call that was answered."""

    async def commit(self, run: Run, result: str, *, keep: bool, cost: float = 0) -> Run | None:
        """The step passed with this JSON. Begins the next step and returns it, or None when this worker is done with
        the job; without `keep` the rest goes to the queue. Raises LeaseLost."""

    async def fail(self, run: Run, failure: Failure) -> None:
        """Raises LeaseLost."""

    async def checkpoint(self, run: Run, said: Checkpoint) -> bool:
        """Keeps what the step says. False when its job shall pause: it is paused now, and the step will begin again.
        Raises LeaseLost."""

    async def fan_out(self, run: Run, children: Sequence[NewJob], *, parallel: int, partial: bool) -> None:
        """The `map` step's children; this worker is done with the job. Those that have succeeded are kept, those that
        have not are run again. Raises LeaseLost, also when the same call was made before."""

    async def release(self, claim: Claim, *, begun: bool) -> None:
        """Hands the job over: back to the queue, or to a human when its step has begun and may not be repeated."""

    async def wake(self) -> int:
        """Moves on the jobs whose moment has come, and fails those whose deadline has passed. How many."""

    async def sweep(self) -> int:
        """Takes jobs from workers that were not heard of for a lease. How many."""

    async def expire(self) -> int:
        """Deletes ended jobs whose time is over, with all that belongs to them. How many."""

    async def leave(self, worker_id: str) -> None:
        """A worker that stops is no longer shown."""


class Pulse(Protocol):
    """A worker's sign of life. Not async, because it is called from a thread of its own, over a connection of its own:
    a step that blocks the event loop must not cost the worker its jobs."""

    def beat(self, worker: WorkerRecord, held: Sequence[Claim]) -> list[Claim]:
        """Renews the leases. Returns those of `held` that are lost: cancelled, or given to somebody else."""

    def close(self) -> None:
        """Ends the connection."""
