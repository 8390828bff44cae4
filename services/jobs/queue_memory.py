"""The WorkQueue and the Pulse over the jobs of one process: for tests, with the semantics of the real ones."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from bureau_contracts.events import EventType
from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import StepKind, StepStatus
from services.jobs.job_memory import State, shown
from services.jobs.records import WorkerRecord
from services.jobs.states import ON_THE_CLOCK, Action
from services.jobs.store import Checkpoint, Claim, Failure, FailureKind, LeaseLost, NewJob, Run
from services.jobs.store_memory import MemoryJobs


class MemoryWorkQueue:
    def __init__(self, jobs: MemoryJobs, queues: Sequence[str] | None = None) -> None:
        """Without `queues` all of them are served."""
        self._all, self._queues = jobs, list(queues or jobs.bounds.queues)

    async def fetch(self, worker_id: str, number: int, count: int, wait_seconds: float) -> list[Run]:
        found = self._fetch(worker_id, number, count)
        if found or not wait_seconds:
            return found
        self._all.arrived.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await self._all.arrived.wait()
        return self._fetch(worker_id, number, count)

    def _fetch(self, worker_id: str, number: int, count: int) -> list[Run]:
        known = self._all.receipts.get(worker_id)
        if known and known[0] == number:
            given = [(claim, self._all.of(claim)) for claim in known[1]]
            return [Run(claim, shown(job)) for claim, job in given if job and job.holds(claim.epoch)]
        runs: list[Run] = []
        # No queue comes first for ever.
        for turn in range(len(self._queues)):
            queue = self._queues[(number + turn) % len(self._queues)]
            while len(runs) < count and (job := self._all.next_in(queue)):
                self._all.move(job, Action.TAKE, JobStatus.RUNNING, {"worker": worker_id})
                self._all.begin(job)
                runs.append(Run(job.claim, shown(job)))
        if runs:
            self._all.receipts[worker_id] = number, [run.claim for run in runs]
        return runs

    async def commit(self, run: Run, result: str, *, keep: bool, cost: float = 0) -> Run | None:
        job = self._held(run)
        record = job.record
        if record.cursor > run.index and record.steps[run.index].status is StepStatus.PASSED:
            # The same call again: its answer got lost.
            return run.passed(result, record.cursor, job.step.attempts)
        self._at(job, run)
        record.cost += cost
        self._all.close(job, StepStatus.PASSED, json.loads(result))
        if not self._all.advance(job, Action.COMMIT, {}, keep=keep):
            return None
        self._all.begin(job)
        return run.passed(result, record.cursor, job.step.attempts)

    async def fail(self, run: Run, failure: Failure) -> None:
        job = self._at(self._held(run), run)
        pausing, data = job.record.status is JobStatus.PAUSING, {"error": failure.error}
        if failure.kind is FailureKind.RETRY:
            job.step.status, job.step.error = StepStatus.PENDING, failure.error
            delay_ms = round(failure.delay_seconds * 1000)
            self._all.emit_step(job, EventType.STEP_RETRY, StepStatus.PENDING, error=failure.error, delay_ms=delay_ms)
            job.wake_at = self._all.now() + timedelta(milliseconds=delay_ms)
            self._all.move(job, Action.FAIL, JobStatus.PAUSED if pausing else JobStatus.SCHEDULED, dict(data))
        elif failure.kind is FailureKind.UNSURE:
            self._all.doubt(job, failure.error)
            to = JobStatus.PAUSED if pausing else JobStatus.WAITING_APPROVAL
            self._all.move(job, Action.FAIL, to, dict(data))
        else:
            self._all.fail_step(job, failure.error)
            self._all.fail_job(job, Action.FAIL, failure.error, dict(data))

    async def checkpoint(self, run: Run, said: Checkpoint) -> bool:
        job = self._at(self._held(run), run)
        if said.state is not None:
            job.step.state = json.loads(said.state)
        if said.progress is not None:
            job.step.progress, job.step.note = said.progress, said.note
            told, under_way = EventType.STEP_PROGRESS, StepStatus.IN_PROGRESS
            self._all.emit_step(job, told, under_way, progress=said.progress, note=said.note)
        if job.record.status is not JobStatus.PAUSING:
            return True
        self._all.unbegin(job)
        self._all.move(job, Action.CHECKPOINT, JobStatus.PAUSED, {})
        return False

    async def fan_out(self, run: Run, children: Sequence[NewJob], *, parallel: int, partial: bool) -> None:
        job = self._at(self._held(run), run)
        self._all.fan_out(job, children, parallel=parallel, partial=partial)

    async def release(self, claim: Claim, *, begun: bool) -> None:
        job, reason = self._all.of(claim), "its worker was stopped"
        if job is None or not job.holds(claim.epoch):
            return
        if begun:
            self._all.give_up(job, Action.RELEASE, reason)
        else:
            self._all.unbegin(job)
            pausing = job.record.status is JobStatus.PAUSING
            to = JobStatus.PAUSED if pausing else JobStatus.QUEUED
            self._all.move(job, Action.RELEASE, to, {"reason": reason})

    async def wake(self) -> int:
        now, every = self._all.now(), list(self._all.jobs.values())
        due = [job for job in every if _waits(job) and _passed(job.wake_at, now)]
        for job in due:
            if job.record.status is JobStatus.WAITING_APPROVAL:
                job.wake_at, expiry = None, Action(job.step.definition.approval.on_expiry)
                self._all.decide(job, Action.EXPIRE, expiry, "nobody", "its time is over", None)
                continue
            if job.step.definition.kind is StepKind.WAIT and job.step.status is StepStatus.IN_PROGRESS:
                self._all.close(job, StepStatus.PASSED, None)
            else:
                job.wake_at = None
            self._all.advance(job, Action.WAKE, {})
        late = [job for job in every if _passed(job.record.deadline, now)]
        for job in late:
            # The parent's deadline may have been met first.
            if job.record.status in ON_THE_CLOCK:
                self._all.time_out(job)
        return len(due) + len(late)

    async def sweep(self) -> int:
        now = self._all.now()
        late = [job for job in self._all.jobs.values() if _passed(job.leased_until, now)]
        for job in late:
            self._all.give_up(job, Action.LOSE, "its worker was lost")
        return len(late)

    async def expire(self) -> int:
        now = self._all.now()
        over = [job for job in self._all.jobs.values() if _passed(job.expires_at, now)]
        for job in over:
            del self._all.jobs[job.key]
            self._all.promises.pop((job.record.owner, job.record.idempotency_key or ""), None)
        return len(over)

    async def leave(self, worker_id: str) -> None:
        self._all.workers.pop(worker_id, None)

    def _held(self, run: Run) -> State:
        job = self._all.of(run.claim)
        if job is None or not job.holds(run.claim.epoch):
            raise LeaseLost
        return job

    def _at(self, job: State, run: Run) -> State:
        if job.record.cursor != run.index:
            raise LeaseLost
        return job


class MemoryPulse:
    def __init__(self, jobs: MemoryJobs) -> None:
        self._all = jobs

    def beat(self, worker: WorkerRecord, held: Sequence[Claim]) -> list[Claim]:
        self._all.workers[worker.worker_id] = worker
        lost = []
        for claim in held:
            job = self._all.of(claim)
            if job is None or not job.holds(claim.epoch):
                lost.append(claim)
            else:
                job.leased_until = self._all.now() + timedelta(seconds=self._all.bounds.lease_seconds)
        return lost

    def close(self) -> None:
        """There is nothing to close."""


def _waits(job: State) -> bool:
    return job.record.status in (JobStatus.SCHEDULED, JobStatus.WAITING_APPROVAL)


def _passed(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now
