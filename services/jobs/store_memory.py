"""The JobStore over the jobs of one process: for tests, with the semantics of the real one."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from bureau_contracts.events import EventType
from bureau_contracts.jobs import JobStatus, StepVersion
from bureau_contracts.steps import NewStep, StepStatus
from kit.identity import Reach
from services.jobs.children_memory import Family
from services.jobs.errors import (
    ChildOfMap,
    Crowded,
    IdempotencyKeyReused,
    IllegalTransition,
    JobNotFound,
    NotAnApprover,
    ParentNotFound,
    QueueFull,
    StepNotFound,
    StepNotWaiting,
    TooManyEdits,
)
from services.jobs.job_memory import State, approvers, asked, shown
from services.jobs.records import JobRecord, StepRecord, Summary, WorkerRecord
from services.jobs.states import FINAL, Action, legal
from services.jobs.store import (
    MOST_CHILDREN,
    MOST_EDITED,
    MOST_GENERATIONS,
    EventBatch,
    JobList,
    NewJob,
    Page,
    QueueLoad,
    Started,
    Verdict,
)


class MemoryJobs(Family):
    """What a Redis would hold, and what its scripts do. The store, the queue and the pulse are views of it."""


class MemoryJobStore:
    def __init__(self, jobs: MemoryJobs) -> None:
        self._all = jobs

    async def start(self, jobs: Sequence[NewJob]) -> list[Started]:
        new = []
        for job in jobs:
            known = self._all.promises.get((job.owner, job.idempotency_key or ""))
            if known and known[1] != job.fingerprint:
                raise IdempotencyKeyReused
            if not known:
                self._check_parent(job, len(jobs))
                new.append(job)
        deep = self._all.too_deep(new)
        if deep is not None:
            raise QueueFull(*deep)
        return [self._all.start_job(job) for job in jobs]

    def _check_parent(self, job: NewJob, more: int) -> None:
        if job.start.parent_id is None:
            return
        parent = self._all.find(Reach(job.owner.tenant, job.owner.user), job.start.parent_id)
        if parent is None or parent.record.status in FINAL:
            raise ParentNotFound
        above = list(self._all.parents(parent))
        top = above[-1] if above else parent
        if len(above) >= MOST_GENERATIONS or self._all.below(top) + more > MOST_CHILDREN:
            raise Crowded

    async def get(self, reach: Reach, job_id: str) -> JobRecord:
        return shown(self._see(reach, job_id))

    async def page(
        self, reach: Reach, which: JobList, *, status: JobStatus | None, kind: str | None, limit: int, after: str | None
    ) -> Page:
        jobs = [job for job in self._all.jobs.values() if job.tenant == reach.tenant]
        if which is JobList.INBOX:
            jobs = [job for job in jobs if _waits_for(job, reach.user)]
        else:
            jobs = [job for job in jobs if reach.user in (None, job.record.owner.user)]
            dead = which is JobList.DEAD
            jobs = [job for job in jobs if (job.dead if dead else job.record.start.parent_id is None)]
        return _page(jobs, status, kind, limit, after)

    async def children(
        self, reach: Reach, parent_id: str, *, status: JobStatus | None, kind: str | None, limit: int, after: str | None
    ) -> Page:
        self._find(reach, parent_id)
        jobs = [
            job
            for job in self._all.jobs.values()
            if job.tenant == reach.tenant and job.record.start.parent_id == parent_id
        ]
        return _page(jobs, status, kind, limit, after)

    async def steer(
        self, reach: Reach, job_id: str, action: Action, by: str, *, from_step: int | None = None
    ) -> JobStatus:
        job, data = self._find(reach, job_id), {"by": by}
        if not legal(action, job.record.status):
            raise IllegalTransition(job_id, action, job.record.status)
        if action is Action.PAUSE:
            self._all.pause_job(job, data)
        elif action is Action.RESUME:
            self._all.resume_job(job, data)
        elif action is Action.CANCEL:
            self._all.cancel_job(job, data)
        else:
            self._retry(job, by, from_step)
        return job.record.status

    def _retry(self, job: State, by: str, from_step: int | None) -> None:
        record, final = job.record, job.record.status in FINAL
        refused = IllegalTransition(record.job_id, Action.RETRY, record.status)
        if not final and (from_step is not None or job.step.status is not StepStatus.UNKNOWN_OUTCOME):
            raise refused
        if final and record.item is not None:
            raise ChildOfMap(record.job_id, record.start.parent_id or "")
        if record.status is JobStatus.SUCCEEDED and from_step is None:
            raise refused
        if from_step is not None and (from_step > record.cursor or from_step >= len(record.steps)):
            raise StepNotFound(record.job_id, from_step)
        self._all.retry_job(job, {"by": by} | ({} if from_step is None else {"from_step": from_step}), from_step)

    async def decide(self, reach: Reach, job_id: str, step: int, verdict: Verdict) -> JobStatus:
        job, action, by, comment = self._see(reach, job_id), verdict.action, verdict.by, verdict.comment
        self._require(job, action, step)
        here = step == job.record.cursor
        waits = here and asked(job)
        reaches = reach.user in (None, job.record.owner.user)
        if not _may_decide(job.record.steps[step], by, administers=verdict.administers, reaches=reaches):
            raise NotAnApprover(job_id, step)
        ahead = action is Action.SKIP and job.record.status is JobStatus.PAUSED
        if waits or (here and job.step.status is StepStatus.UNKNOWN_OUTCOME):
            self._all.decide(job, action, action, by, comment, verdict.result)
        elif ahead and here:
            self._leave_children(job, by)
            self._all.decide(job, action, action, by, comment, None)
        elif ahead and step > job.record.cursor and job.record.steps[step].status is StepStatus.PENDING:
            self._skip_ahead(job, step, verdict)
        else:
            raise StepNotWaiting(job_id, step)
        return job.record.status

    def _leave_children(self, job: State, by: str) -> None:
        """They are none of the step's own any more."""
        job.fans.pop(job.record.cursor, None)
        job.pending.clear()
        for child in self._all.each_live(job):
            if child.record.item is not None:
                self._all.cancel_job(child, {"by": by, "reason": "its step was skipped"})

    def _skip_ahead(self, job: State, index: int, verdict: Verdict) -> None:
        step, said, now = job.record.steps[index], {"by": verdict.by, "comment": verdict.comment}, self._all.now()
        step.status, step.finished_at = StepStatus.SKIPPED, now
        step.verdict = {"decision": str(verdict.action), **said, "at": now.isoformat()}
        self._all.emit_step(job, EventType.STEP_FINISHED, StepStatus.SKIPPED, index, **said)

    async def edit(
        self, reach: Reach, seen: JobRecord, step: int, definition: NewStep, by: str, comment: str, *,
        administers: bool = False,
    ) -> bool:  # fmt: skip
        job = self._find(reach, seen.job_id)
        self._require(job, Action.EDIT, step)
        before = job.record.steps[step]
        if not _may_decide(before, by, administers=administers, reaches=True):
            raise NotAnApprover(seen.job_id, step)
        if step < job.record.cursor or before.status is not StepStatus.PENDING:
            raise StepNotWaiting(seen.job_id, step)
        if job.record.edits != seen.edits:
            return False
        if job.edited > MOST_EDITED:
            raise TooManyEdits(seen.job_id)
        now = self._all.now()
        if step == job.record.cursor and before.attempts:
            # The pause between two attempts; another step does not wait for it.
            job.wake_at = None
        self._all.begin_anew(job, step)
        edited = job.record.steps[step]
        edited.definition = definition
        edited.versions = [*before.versions, StepVersion(definition=before.definition, by=by, at=now, comment=comment)]
        # Another definition is another effect, and has children of its own.
        edited.redo += 1
        job.record.edits += 1
        job.edited += len(before.definition.model_dump_json(exclude_unset=True).encode())
        job.record.last_update = now
        self._all.emit_step(job, EventType.STEP_EDITED, StepStatus.PENDING, step, by=by, comment=comment)
        return True

    async def events(self, reach: Reach, job_id: str, *, after: int, limit: int) -> EventBatch:
        job = self._see(reach, job_id)
        events = [event for event in job.events if event.seq > after][:limit]
        seen = events[-1].seq if events else after
        return EventBatch(events, ended=job.record.status in FINAL and seen >= job.seq)

    @asynccontextmanager
    async def watch(self, *job_ids: str) -> AsyncIterator["_News"]:
        happened = asyncio.Event()
        for job_id in job_ids:
            self._all.watchers.setdefault(job_id, set()).add(happened)
        try:
            yield _News(happened)
        finally:
            for job_id in job_ids:
                self._all.watchers[job_id].discard(happened)

    async def workers(self) -> list[WorkerRecord]:
        oldest = self._all.now() - timedelta(seconds=3 * self._all.bounds.lease_seconds)
        return [worker for worker in self._all.workers.values() if worker.last_seen > oldest]

    async def queues(self, tenant: str) -> list[QueueLoad]:
        every = self._all.bounds.queues
        return [QueueLoad(queue, self._all.load(queue, tenant), self._all.load(queue)) for queue in every]

    async def ping(self) -> str:
        return ""

    def _find(self, reach: Reach, job_id: str) -> State:
        return _required(self._all.find(reach, job_id), job_id)

    def _see(self, reach: Reach, job_id: str) -> State:
        return _required(self._all.see(reach, job_id), job_id)

    def _require(self, job: State, action: Action, step: int) -> None:
        if step >= len(job.record.steps):
            raise StepNotFound(job.record.job_id, step)
        if not legal(action, job.record.status):
            raise IllegalTransition(job.record.job_id, action, job.record.status)


def _required(job: State | None, job_id: str) -> State:
    if job is None:
        raise JobNotFound(job_id)
    return job


def _waits_for(job: State, user: str | None) -> bool:
    waiting = job.record.status is JobStatus.WAITING_APPROVAL
    return waiting and asked(job) and user in approvers(job.step)


def _may_decide(step: StepRecord, by: str, *, administers: bool, reaches: bool) -> bool:
    named = approvers(step)
    if administers or not named:
        return administers or reaches
    return by in named


def _page(jobs: Iterable[State], status: JobStatus | None, kind: str | None, limit: int, after: str | None) -> Page:
    found = [
        job.record
        for job in sorted(jobs, key=lambda job: job.record.job_id, reverse=True)
        if (not after or job.record.job_id < after)
        and status in (None, job.record.status)
        and kind in (None, job.record.start.kind)
    ]
    rows = [
        Summary(
            record.job_id, record.start.kind, record.start.title, record.owner.user, record.status, record.cursor,
            len(record.steps), record.created_at, record.last_update,
        )
        for record in found[:limit]
    ]  # fmt: skip
    return Page(rows, rows[-1].job_id if len(found) > limit else None)


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
