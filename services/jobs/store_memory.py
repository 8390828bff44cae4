"""The JobStore over the jobs of one process: for tests, with the semantics of the real one."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta

from bureau_contracts.events import EventType
from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import StepKind, StepStatus
from kit.clock import Clock, SystemClock
from kit.identity import Owner, Reach
from services.jobs.errors import IdempotencyKeyReused, IllegalTransition, JobNotFound, StepNotFound, StepNotWaiting
from services.jobs.machine_memory import Machine, State
from services.jobs.records import JobRecord, StepRecord, Summary, WorkerRecord
from services.jobs.states import FINAL, HELD, Action, legal
from services.jobs.store import Bounds, EventBatch, Message, NewJob, Page, Started


@dataclass
class MemoryJobs:
    """What a Redis would hold. The store, the queue and the pulse are views of it."""

    bounds: Bounds = field(default_factory=Bounds)
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.jobs: dict[tuple[str, str], State] = {}
        self.promises: dict[tuple[Owner, str], tuple[str, str]] = {}
        self.seen: dict[str, WorkerRecord] = {}
        self.watchers: dict[str, set[asyncio.Event]] = {}
        self.arrived = asyncio.Event()
        self.machine = Machine(self.bounds, self.clock.now, self._announce, self.arrived.set)

    def find(self, reach: Reach, job_id: str) -> State | None:
        job = self.jobs.get((reach.tenant, job_id))
        return job if job and reach.user in (None, job.record.owner.user) else None

    def require(self, reach: Reach, job_id: str) -> State:
        job = self.find(reach, job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    def of(self, message: Message) -> State | None:
        return self.jobs.get((message.tenant, message.job_id))

    def _announce(self, job_id: str) -> None:
        for happened in self.watchers.get(job_id, ()):
            happened.set()


class MemoryJobStore:
    def __init__(self, jobs: MemoryJobs) -> None:
        self._all, self._machine = jobs, jobs.machine

    async def start(self, job: NewJob) -> Started:
        if job.idempotency_key:
            known = self._all.promises.setdefault((job.owner, job.idempotency_key), (job.job_id, job.fingerprint))
            if known[1] != job.fingerprint:
                raise IdempotencyKeyReused
            if known[0] != job.job_id:
                first = self._all.jobs[job.owner.tenant, known[0]].record
                return Started(first.job_id, first.status, created=False)
        now = self._all.clock.now()
        record = JobRecord(
            job_id=job.job_id, owner=job.owner, start=job.start, status=JobStatus.QUEUED, created_at=now,
            last_update=now, steps=[StepRecord(step) for step in job.start.steps], traceparent=job.traceparent,
            schedule_id=job.schedule_id,
        )  # fmt: skip
        # There is no status before the first, for which the table has None.
        record.status = None  # type: ignore[assignment]
        state = State(record, deque(maxlen=self._all.bounds.events_kept), job.idempotency_key)
        self._all.jobs[job.owner.tenant, job.job_id] = state
        self._machine.advance(state, Action.START, {"by": job.by})
        return Started(job.job_id, record.status, created=True)

    async def get(self, reach: Reach, job_id: str) -> JobRecord:
        return deepcopy(self._all.require(reach, job_id).record)

    async def page(
        self, reach: Reach, *, status: JobStatus | None, kind: str | None, limit: int, after: str | None
    ) -> Page:
        found = [
            job.record
            for (tenant, job_id), job in sorted(self._all.jobs.items(), reverse=True)
            if tenant == reach.tenant and reach.user in (None, job.record.owner.user)
            if (not after or job_id < after) and status in (None, job.record.status)
            if kind in (None, job.record.start.kind)
        ]
        rows = [
            Summary(
                record.job_id, record.start.kind, record.start.title, record.owner.user, record.status, record.cursor,
                len(record.steps), record.created_at, record.last_update,
            )
            for record in found[:limit]
        ]  # fmt: skip
        return Page(rows, rows[-1].job_id if len(found) > limit else None)

    async def steer(self, reach: Reach, job_id: str, action: Action, by: str) -> JobStatus:
        job = self._all.require(reach, job_id)
        status, machine, data = job.record.status, self._machine, {"by": by}
        if not legal(action, status):
            raise IllegalTransition(job_id, action, status)
        if action is Action.PAUSE:
            machine.move(job, action, JobStatus.PAUSING if status is JobStatus.RUNNING else JobStatus.PAUSED, data)
        elif action is Action.RESUME and status is JobStatus.PAUSING:
            machine.move(job, action, JobStatus.RUNNING, data)
        elif action is Action.RESUME:
            machine.advance(job, action, data)
        elif action is Action.CANCEL:
            self.cancel(job, data)
        else:
            self._retry(job, data)
        return job.record.status

    def cancel(self, job: State, data: dict[str, str]) -> None:
        if job.record.status in HELD:
            self._machine.doubt(job, "cancelled while it was under way")
        elif job.step.status is StepStatus.IN_PROGRESS:
            job.step.status = StepStatus.PENDING
        self._machine.move(job, Action.CANCEL, JobStatus.CANCELLED, dict(data))

    def _retry(self, job: State, data: dict[str, str]) -> None:
        failed = job.record.status is JobStatus.FAILED
        if not failed and job.step.status is not StepStatus.UNKNOWN_OUTCOME:
            raise IllegalTransition(job.record.job_id, Action.RETRY, job.record.status)
        job.record.steps[job.record.cursor] = StepRecord(job.step.definition)
        job.losses, job.wake_at, job.record.error = 0, None, None
        job.record.attempt += failed
        self._machine.advance(job, Action.RETRY, data)

    async def decide(self, reach: Reach, job_id: str, step: int, action: Action, by: str, comment: str) -> JobStatus:
        job = self._all.require(reach, job_id)
        record = job.record
        if step >= len(record.steps):
            raise StepNotFound(job_id, step)
        if not legal(action, record.status):
            raise IllegalTransition(job_id, action, record.status)
        here = step == record.cursor
        at_breakpoint = (
            here and job.step.definition.kind is StepKind.BREAKPOINT and job.step.status is StepStatus.IN_PROGRESS
        )
        waits = at_breakpoint or (here and job.step.status is StepStatus.UNKNOWN_OUTCOME)
        if not waits and not (here and action is Action.SKIP and record.status is JobStatus.PAUSED):
            raise StepNotWaiting(job_id, step)
        data = {"by": by, "comment": comment}
        job.step.verdict = {"decision": str(action), **data, "at": self._all.clock.now().isoformat()}
        if at_breakpoint:
            self._machine.emit_step(job, EventType.BREAKPOINT_RESUMED, action, **data)
        if action is Action.REJECT:
            reason = f"rejected by {by}" + (f": {comment}" if comment else "")
            self._machine.fail_step(job, reason, by=by)
            self._machine.fail_job(job, action, reason, dict(data))
        else:
            done = StepStatus.SKIPPED if action is Action.SKIP else StepStatus.PASSED
            self._machine.close(job, done, None, by=by)
            self._machine.advance(job, action, dict(data))
        return record.status

    async def events(self, reach: Reach, job_id: str, *, after: int, limit: int) -> EventBatch:
        job = self._all.require(reach, job_id)
        events = [event for event in job.events if event.seq > after][:limit]
        seen = events[-1].seq if events else after
        return EventBatch(events, ended=job.record.status in FINAL and seen >= job.seq)

    @asynccontextmanager
    async def watch(self, job_id: str) -> AsyncIterator["_News"]:
        happened = asyncio.Event()
        self._all.watchers.setdefault(job_id, set()).add(happened)
        try:
            yield _News(happened)
        finally:
            self._all.watchers[job_id].discard(happened)

    async def workers(self) -> list[WorkerRecord]:
        oldest = self._all.clock.now() - timedelta(seconds=3 * self._all.bounds.lease_seconds)
        return [worker for worker in self._all.seen.values() if worker.last_seen > oldest]

    async def ping(self) -> str:
        return ""


class _News:
    def __init__(self, happened: asyncio.Event) -> None:
        self._happened = happened

    async def wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._happened.wait()
        except TimeoutError:
            return
        self._happened.clear()
