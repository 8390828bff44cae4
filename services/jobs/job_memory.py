"""The jobs of one process: `lua/shared/job.lua` once more, in plain Python over plain objects, function by function
under the same names. So are lines_, moves_, machine_ and children_memory.py, each standing on the one before. What
Redis keeps in indexes is looked for here; the contract suite holds the two against each other."""

import asyncio
from collections import deque
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bureau_contracts.events import Event, EventType
from bureau_contracts.jobs import Children
from bureau_contracts.steps import StepKind, StepStatus
from kit.clock import Clock, SystemClock
from kit.identity import Owner, Reach
from kit.telemetry import parse_traceparent
from services.jobs.records import JobRecord, StepRecord, WorkerRecord, repeatable
from services.jobs.states import FINAL, HELD
from services.jobs.store import Bounds, Claim, NewJob


@dataclass
class Fan:
    """What a `map` step must know of its children."""

    total: int
    ended: int
    live: int
    parallel: int
    partial: bool
    failed: int = 0


@dataclass(eq=False)
class State:
    """A job with what only the machine needs to know of it."""

    record: JobRecord
    events: deque[Event]
    epoch: int = 0
    seq: int = 0
    losses: int = 0
    place: int | None = None
    """In its line; the same whenever it comes back."""
    waits_since: datetime | None = None
    leased_until: datetime | None = None
    wake_at: datetime | None = None
    time_left: timedelta | None = None
    """Until its deadline, which stands still."""
    left: timedelta | None = None
    """Until the breakpoint expires at which it is paused."""
    expires_at: datetime | None = None
    dead: bool = False
    webhook_due: datetime | None = None
    """When somebody is to be told of its end."""
    webhook_attempts: int = 0
    fans: dict[int, Fan] = field(default_factory=dict)
    """By step."""
    pending: deque[NewJob] = field(default_factory=deque)
    """Children that have not begun."""
    edited: int = 0
    """Bytes of the definitions that edits have replaced."""
    cost_told: float = 0
    """What of its cost its parent knows."""

    @property
    def key(self) -> tuple[str, str]:
        return self.record.owner.tenant, self.record.job_id

    @property
    def tenant(self) -> str:
        return self.record.owner.tenant

    @property
    def step(self) -> StepRecord:
        return self.record.steps[self.record.cursor]

    @property
    def once(self) -> bool:
        """Whether the step at the cursor may not be repeated."""
        waits = self.step.definition.kind in (StepKind.WAIT, StepKind.BREAKPOINT, StepKind.MAP)
        return not waits and not repeatable(self.step.definition)

    @property
    def claim(self) -> Claim:
        return Claim(*self.key, self.epoch)

    def holds(self, epoch: int) -> bool:
        return self.record.status in HELD and self.epoch == epoch


@dataclass
class Kept:
    """What a Redis would hold."""

    bounds: Bounds = field(default_factory=Bounds)
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.jobs: dict[tuple[str, str], State] = {}
        self.promises: dict[tuple[Owner, str], tuple[str, str]] = {}
        """Idempotency keys: the job that each stands for, and the request's fingerprint."""
        self.workers: dict[str, WorkerRecord] = {}
        self.receipts: dict[str, tuple[int, list[Claim]]] = {}
        """What each worker's last fetch gave: its number, and the jobs."""
        self.watchers: dict[str, set[asyncio.Event]] = {}
        self.arrived = asyncio.Event()

    def now(self) -> datetime:
        return self.clock.now()

    def find(self, reach: Reach, job_id: str) -> State | None:
        job = self.jobs.get((reach.tenant, job_id))
        return job if job and reach.user in (None, job.record.owner.user) else None

    def see(self, reach: Reach, job_id: str) -> State | None:
        """As `find`, and also for whoever a breakpoint of the job names as approver."""
        job = self.jobs.get((reach.tenant, job_id))
        named = job is not None and any(reach.user in approvers(step) for step in job.record.steps)
        return job if named else self.find(reach, job_id)

    def of(self, claim: Claim) -> State | None:
        return self.jobs.get((claim.tenant, claim.job_id))

    def each_live(self, job: State) -> Iterator[State]:
        """Its children that have not ended."""
        for child in list(self.jobs.values()):
            same = child.tenant == job.tenant and child.record.start.parent_id == job.record.job_id
            if same and child.record.status not in FINAL:
                yield child

    def below(self, job: State) -> int:
        """Jobs below it that have not ended."""
        live: dict[str | None, list[str]] = {}
        for each in self.jobs.values():
            if each.tenant == job.tenant and each.record.status not in FINAL:
                live.setdefault(each.record.start.parent_id, []).append(each.record.job_id)
        found = [job.record.job_id]
        for each_id in found:
            found += live.get(each_id, [])
        return len(found) - 1

    def parents(self, job: State) -> Iterator[State]:
        """Its parent, that one's parent …"""
        parent = self.jobs.get((job.tenant, job.record.start.parent_id or ""))
        if parent is not None:
            yield parent
            yield from self.parents(parent)

    def emit(self, job: State, kind: EventType, status: str, /, **data: Any) -> None:
        job.seq += 1
        trace = parse_traceparent(job.record.traceparent)
        job.events.append(
            Event(
                seq=job.seq, type=kind, status=status, timestamp=self.now(), subject=job.record.job_id, data=data,
                trace_id=trace.trace_id if trace else None,
            )
        )  # fmt: skip
        for happened in self.watchers.get(job.record.job_id, ()):
            happened.set()

    def emit_step(self, job: State, kind: EventType, status: str, index: int | None = None, **data: Any) -> None:
        index = job.record.cursor if index is None else index
        name = job.record.steps[index].definition.name
        self.emit(job, kind, status, index=index, step=name, **data)

    def begin(self, job: State) -> None:
        job.step.attempts += 1
        job.step.status, job.step.started_at = StepStatus.IN_PROGRESS, self.now()
        self.emit_step(job, EventType.STEP_STARTED, StepStatus.IN_PROGRESS, attempt=job.step.attempts)

    def unbegin(self, job: State) -> None:
        """As if it had not begun: nothing was done yet."""
        job.step.attempts -= 1
        job.step.status = StepStatus.PENDING

    def begin_anew(self, job: State, index: int) -> None:
        """Takes from a step what it was given while it ran."""
        step = job.record.steps[index]
        job.record.steps[index] = StepRecord(step.definition, versions=step.versions, redo=step.redo)
        job.fans.pop(index, None)
        if index == job.record.cursor:
            job.left = None


def approvers(step: StepRecord) -> list[str]:
    return step.definition.approval.approvers if step.definition.kind is StepKind.BREAKPOINT else []


def asked(job: State) -> bool:
    """A breakpoint waits for its decision."""
    at_breakpoint = job.step.definition.kind is StepKind.BREAKPOINT
    return at_breakpoint and job.step.status is StepStatus.IN_PROGRESS


def shown(job: State) -> JobRecord:
    """A copy, as a reader of Redis would make it."""
    # What was asked for never changes, so that it need not be copied: it is most of a record.
    fixed = (job.record.start, *(step.definition for step in job.record.steps))
    record = deepcopy(job.record, {id(each): each for each in fixed})
    for index, fan in job.fans.items():
        record.steps[index].children = Children(total=fan.total, ended=fan.ended, failed=fan.failed)
    if record.cursor < len(record.steps) and asked(job):
        record.steps[record.cursor].expires_at = job.wake_at
    return record
