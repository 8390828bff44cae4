"""The WorkQueue and the Pulse over the jobs of one process: for tests, with the semantics of the real ones."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from datetime import datetime, timedelta

from bureau_contracts.events import EventType
from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import StepKind, StepStatus
from services.jobs.machine_memory import Entry, State
from services.jobs.records import WorkerRecord
from services.jobs.states import TABLE, Action
from services.jobs.store import Failure, FailureKind, LeaseLost, Message, Run
from services.jobs.store_memory import MemoryJobs


class MemoryWorkQueue:
    def __init__(self, jobs: MemoryJobs) -> None:
        self._all, self._machine = jobs, jobs.machine

    async def open(self) -> None:
        """There is nothing to make."""

    async def fetch(self, count: int, wait_seconds: float) -> list[Message]:
        if not self._undelivered():
            self._all.arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._all.arrived.wait()
        taken = self._undelivered()[:count]
        for entry in taken:
            entry.delivered_at = self._all.clock.now()
        return [entry.message for entry in taken]

    async def take(self, message: Message, worker_id: str) -> Run | None:
        job = self._all.of(message)
        if job and job.holds(message.epoch) and job.message_id == message.message_id:
            return Run(message, deepcopy(job.record)) if job.worker == worker_id else None
        if job is None or job.epoch != message.epoch or job.record.status is not JobStatus.QUEUED:
            self._machine.acknowledge(message.message_id)
            return None
        job.message_id, job.worker = message.message_id, worker_id
        self._machine.move(job, Action.TAKE, JobStatus.RUNNING, {"worker": worker_id})
        self._machine.begin(job)
        return Run(message, deepcopy(job.record))

    async def commit(self, run: Run, result: str, *, keep: bool) -> Run | None:
        job = self._held(run)
        if job.record.cursor == run.index + 1:
            return run.passed(result, job.record.cursor, job.step.attempts)
        if job.record.cursor != run.index:
            raise LeaseLost
        self._machine.close(job, StepStatus.PASSED, json.loads(result))
        if not self._machine.advance(job, Action.COMMIT, {}, keep=keep):
            return None
        self._machine.begin(job)
        return run.passed(result, job.record.cursor, job.step.attempts)

    async def fail(self, run: Run, failure: Failure) -> None:
        job = self._held(run)
        if job.record.cursor != run.index:
            raise LeaseLost
        pausing, data = job.record.status is JobStatus.PAUSING, {"error": failure.error}
        if failure.kind is FailureKind.RETRY:
            job.step.status, job.step.error = StepStatus.PENDING, failure.error
            delay_ms = round(failure.delay_seconds * 1000)
            self._machine.emit_step(job, EventType.STEP_RETRY, StepStatus.PENDING, **data, delay_ms=delay_ms)
            job.wake_at = self._all.clock.now() + timedelta(milliseconds=delay_ms)
            self._machine.move(job, Action.FAIL, JobStatus.PAUSED if pausing else JobStatus.SCHEDULED, dict(data))
        elif failure.kind is FailureKind.UNSURE:
            self._machine.doubt(job, failure.error)
            to = JobStatus.PAUSED if pausing else JobStatus.WAITING_APPROVAL
            self._machine.move(job, Action.FAIL, to, dict(data))
        else:
            self._machine.fail_step(job, failure.error)
            self._machine.fail_job(job, Action.FAIL, failure.error, dict(data))

    async def release(self, message: Message) -> None:
        job = self._all.of(message)
        if job and job.epoch == message.epoch and job.record.status in TABLE[Action.RELEASE]:
            self._machine.give_up(job, Action.RELEASE, "its worker was stopped")
        self._machine.acknowledge(message.message_id)

    async def wake(self) -> int:
        now = self._all.clock.now()
        due = [job for job in self._all.jobs.values() if job.due and _passed(job.wake_at, now)]
        for job in due:
            if job.step.definition.kind is StepKind.WAIT:
                self._machine.close(job, StepStatus.PASSED, None)
            else:
                job.wake_at = None
            self._machine.advance(job, Action.WAKE, {})
        return len(due)

    async def sweep(self) -> int:
        oldest = self._all.clock.now() - timedelta(seconds=self._all.bounds.lease_seconds)
        late = [entry for entry in self._machine.queue.values() if entry.delivered_at and entry.delivered_at <= oldest]
        for entry in late:
            job = self._all.of(entry.message)
            if job and job.epoch == entry.message.epoch and job.record.status in TABLE[Action.LOSE]:
                self._machine.give_up(job, Action.LOSE, "its worker was lost")
            self._machine.acknowledge(entry.message.message_id)
        return len(late)

    async def expire(self) -> int:
        now = self._all.clock.now()
        over = [key for key, job in self._all.jobs.items() if _passed(job.expires_at, now)]
        for key in over:
            job = self._all.jobs.pop(key)
            self._all.promises.pop((job.record.owner, job.idempotency_key or ""), None)
        return len(over)

    async def leave(self, worker_id: str) -> None:
        self._all.seen.pop(worker_id, None)

    def _undelivered(self) -> list[Entry]:
        return [entry for entry in self._machine.queue.values() if entry.delivered_at is None]

    def _held(self, run: Run) -> State:
        job = self._all.of(run.message)
        if job is None or not job.holds(run.message.epoch):
            raise LeaseLost
        return job


class MemoryPulse:
    def __init__(self, jobs: MemoryJobs) -> None:
        self._all = jobs

    def beat(self, worker: WorkerRecord, held: Sequence[Message]) -> list[Message]:
        self._all.seen[worker.worker_id] = worker
        lost = []
        for message in held:
            job = self._all.of(message)
            entry = self._all.machine.queue.get(message.message_id)
            if job is None or not job.holds(message.epoch):
                lost.append(message)
            elif entry is not None:
                entry.delivered_at = self._all.clock.now()
        return lost

    def close(self) -> None:
        """There is nothing to close."""


def _passed(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now
