"""The state machine of `lua/prelude.lua` once more, in plain Python over plain objects, function by function under the
same names. The in-memory store is made of it; the contract suite holds the two against each other."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bureau_contracts.events import Event, EventType
from bureau_contracts.jobs import JobStatus
from bureau_contracts.shapes import JsonObject
from bureau_contracts.steps import StepKind, StepStatus
from kit.telemetry import parse_traceparent
from services.jobs.records import JobRecord, StepRecord, repeatable
from services.jobs.states import FINAL, HELD, TABLE, Action
from services.jobs.store import Bounds, Message


@dataclass
class Entry:
    """A message in the queue; `delivered_at` None while nobody has it."""

    message: Message
    delivered_at: datetime | None = None


@dataclass
class State:
    """A job with what only the machine needs to know of it."""

    record: JobRecord
    events: deque[Event]
    idempotency_key: str | None = None
    epoch: int = 0
    seq: int = 0
    losses: int = 0
    message_id: str | None = None
    worker: str | None = None
    wake_at: datetime | None = None
    expires_at: datetime | None = None
    due: bool = False
    """Waits in the list of those whose moment will come."""

    @property
    def step(self) -> StepRecord:
        return self.record.steps[self.record.cursor]

    def holds(self, epoch: int) -> bool:
        return self.record.status in HELD and self.epoch == epoch


@dataclass
class Machine:
    bounds: Bounds
    now: Callable[[], datetime]
    announce: Callable[[str], None]
    """Told that a job has a new event."""
    arrived: Callable[[], None]
    """Told that the queue has a new message."""
    queue: dict[str, Entry] = field(default_factory=dict)
    """By message id, in order."""
    numbers: int = 0

    def emit(self, job: State, kind: EventType, status: str, **data: Any) -> None:
        job.seq += 1
        trace = parse_traceparent(job.record.traceparent)
        job.events.append(
            Event(
                seq=job.seq, type=kind, status=status, timestamp=self.now(), subject=job.record.job_id, data=data,
                trace_id=trace.trace_id if trace else None,
            )
        )  # fmt: skip
        self.announce(job.record.job_id)

    def emit_step(self, job: State, kind: EventType, status: str, **data: Any) -> None:
        self.emit(job, kind, status, index=job.record.cursor, step=job.step.definition.name, **data)

    def acknowledge(self, message_id: str | None) -> None:
        self.queue.pop(message_id or "", None)

    def move(self, job: State, action: Action, to: JobStatus, data: JsonObject) -> None:
        """The one place where a job's status changes."""
        before = job.record.status
        assert to in TABLE[action][before], f"{action} must not lead from {before} to {to}"
        if before in HELD and to not in HELD:
            self.acknowledge(job.message_id)
            job.message_id = job.worker = None
        elif before is JobStatus.QUEUED and to is not JobStatus.RUNNING:
            job.epoch += 1
        job.due = to is JobStatus.SCHEDULED
        job.record.status, job.record.last_update, job.expires_at = to, self.now(), None
        if to is JobStatus.QUEUED:
            self.enqueue(job)
        elif to in FINAL:
            job.expires_at = self.now() + timedelta(seconds=self.bounds.retention_seconds)
        if before is not to:
            self.emit(job, EventType.JOB_TRANSITION, to, **data, **{"from": before, "action": action})

    def enqueue(self, job: State) -> None:
        job.epoch += 1
        self.numbers += 1
        name = f"{self.numbers:012d}-0"
        owner = job.record.owner
        self.queue[name] = Entry(Message(name, owner.tenant, job.record.job_id, job.epoch))
        self.arrived()

    def begin(self, job: State) -> None:
        job.step.attempts += 1
        job.step.status, job.step.started_at = StepStatus.IN_PROGRESS, self.now()
        self.emit_step(job, EventType.STEP_STARTED, StepStatus.IN_PROGRESS, attempt=job.step.attempts)

    def close(self, job: State, status: StepStatus, result: Any, **data: Any) -> None:
        step = job.step
        step.result, step.status, step.finished_at, step.error = result, status, self.now(), None
        self.emit_step(job, EventType.STEP_FINISHED, status, **data)
        job.record.cursor += 1
        job.losses, job.wake_at = 0, None

    def fail_step(self, job: State, error: str, **data: Any) -> None:
        job.step.status, job.step.error, job.step.finished_at = StepStatus.FAILED, error, self.now()
        self.emit_step(job, EventType.STEP_FINISHED, StepStatus.FAILED, error=error, **data)

    def fail_job(self, job: State, action: Action, error: str, data: JsonObject) -> None:
        job.record.error = error
        self.move(job, action, JobStatus.FAILED, data)

    def doubt(self, job: State, error: str) -> None:
        job.step.status, job.step.error, job.step.finished_at = StepStatus.UNKNOWN_OUTCOME, error, self.now()
        self.emit_step(job, EventType.STEP_FINISHED, StepStatus.UNKNOWN_OUTCOME, error=error)

    def advance(self, job: State, action: Action, data: JsonObject, *, keep: bool = False) -> bool:
        """What the job does next. True when the worker that holds it shall run the step at the cursor."""
        status = job.record.status
        if job.record.cursor == len(job.record.steps):
            self.move(job, action, JobStatus.SUCCEEDED, data)
            return False
        kind = job.step.definition.kind
        if status is JobStatus.PAUSING or (status is JobStatus.PAUSED and action is not Action.RESUME):
            self.move(job, action, JobStatus.PAUSED, data)
        elif job.step.status is StepStatus.UNKNOWN_OUTCOME:
            self.move(job, action, JobStatus.WAITING_APPROVAL, data)
        elif job.wake_at is not None:
            self.move(job, action, JobStatus.SCHEDULED, data)
        elif kind is StepKind.BREAKPOINT:
            reached = job.step.status is StepStatus.IN_PROGRESS
            if not reached:
                self.begin(job)
            self.move(job, action, JobStatus.WAITING_APPROVAL, data)
            if not reached:
                self.emit_step(job, EventType.BREAKPOINT_HIT, JobStatus.WAITING_APPROVAL)
        elif kind is StepKind.WAIT:
            self.begin(job)
            job.wake_at = self.now() + timedelta(seconds=job.step.definition.seconds or 0)
            self.move(job, action, JobStatus.SCHEDULED, data)
        elif keep:
            self.move(job, action, JobStatus.RUNNING, data)
            return True
        else:
            self.move(job, action, JobStatus.QUEUED, data)
        return False

    def give_up(self, job: State, action: Action, reason: str) -> None:
        data: JsonObject = {"reason": reason}
        if job.record.status is JobStatus.QUEUED:
            self.move(job, action, JobStatus.QUEUED, data)
            return
        once = not repeatable(job.step.definition)
        losses = 0
        if action is Action.LOSE:
            job.losses += 1
            losses = job.losses
        if once:
            self.doubt(job, reason)
        else:
            job.step.status = StepStatus.PENDING
        if losses >= self.bounds.max_losses and not once:
            self.fail_step(job, reason)
            self.fail_job(job, action, f"{reason}, {losses} times in the same step", data)
        elif job.record.status is JobStatus.PAUSING:
            self.move(job, action, JobStatus.PAUSED, data)
        elif once:
            self.move(job, action, JobStatus.WAITING_APPROVAL, data)
        else:
            self.move(job, action, JobStatus.QUEUED, data)
