"""Starting jobs; those that belong to another one; and the children of a `map` step: `lua/shared/children.lua` in plain
Python."""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bureau_contracts.events import EventType
from bureau_contracts.jobs import JobStatus
from bureau_contracts.shapes import JsonObject
from bureau_contracts.steps import StepStatus
from services.jobs.errors import IdempotencyKeyReused
from services.jobs.job_memory import Fan, State
from services.jobs.machine_memory import Machine
from services.jobs.records import JobRecord, StepRecord
from services.jobs.states import FINAL, Action
from services.jobs.store import NewJob, Started


class Family(Machine):
    def start_job(self, new: NewJob) -> Started:
        """Creates a job, or finds the one that the same idempotency key started."""
        if new.idempotency_key:
            known = self.promises.setdefault((new.owner, new.idempotency_key), (new.job_id, new.fingerprint))
            if known[1] != new.fingerprint:
                raise IdempotencyKeyReused
            if known[0] != new.job_id:
                return Started(known[0], self.jobs[new.owner.tenant, known[0]].record.status, created=False)
        job = State(_record(new, self), deque(maxlen=self.bounds.events_kept))
        self.jobs[job.key] = job
        start, now = new.start, self.now()
        job.wake_at = start.start_at
        if start.deadline_seconds:
            head_start = max(timedelta(0), (job.wake_at or now) - now)
            job.time_left = head_start + timedelta(seconds=start.deadline_seconds)
        self.advance(job, Action.START, {"by": new.by})
        return Started(new.job_id, job.record.status, created=True)

    def child_id(self, job: State, item: int) -> str:
        """The same however often the step is tried, so that what succeeded is not done again; another one once it is
        redone."""
        redo = f"-r{job.step.redo}" if job.step.redo else ""
        return f"{job.record.job_id}-{job.record.cursor}-{item}{redo}"

    def child(self, job: State, item: int) -> State | None:
        return self.jobs.get((job.tenant, self.child_id(job, item)))

    def fan_out(self, job: State, children: Sequence[NewJob], *, parallel: int, partial: bool) -> None:
        job.pending.clear()
        fan = Fan(len(children), 0, 0, parallel, partial)
        for item, new in enumerate(children):
            known = self.child(job, item)
            if known and known.record.status is JobStatus.SUCCEEDED:
                fan.ended += 1
            elif known and known.record.status not in FINAL:
                fan.live += 1
            else:
                job.pending.append(replace(new, job_id=self.child_id(job, item)))
        job.fans[job.record.cursor] = fan
        pausing = job.record.status is JobStatus.PAUSING
        self.move(job, Action.FAN_OUT, JobStatus.PAUSED if pausing else JobStatus.SCHEDULED, {})
        self.rejoin(job)

    def feed(self, job: State) -> None:
        """Starts children while there is room. None after one has failed, unless that is allowed."""
        fan = job.fans[job.record.cursor]
        room = 0 if fan.failed and not fan.partial else fan.parallel - fan.live
        for _ in range(min(room, len(job.pending))):
            new = job.pending.popleft()
            fan.live += 1
            child = self.jobs.get((job.tenant, new.job_id))
            if child is not None:
                self.retry_job(child, {"by": job.record.job_id})
            else:
                self.start_job(new)

    def gather(self, job: State) -> list[Any] | None:
        """What the children have brought about, in order of their items; None when it is too much."""
        parts = [_brought(self.child(job, item)) for item in range(job.fans[job.record.cursor].total)]
        size = len(json.dumps(parts, ensure_ascii=False).encode())
        return None if size > self.bounds.max_result_bytes else parts

    def join(self, job: State) -> None:
        fan, result, reason = job.fans[job.record.cursor], self.gather(job), None
        if fan.failed and not fan.partial:
            reason = f"{fan.failed} of {fan.total} children failed"
        elif result is None:
            reason = f"the results have more than {self.bounds.max_result_bytes} bytes together"
        job.pending.clear()
        if reason:
            job.step.result = result
            self.fail_step(job, reason)
            self.fail_job(job, Action.JOIN, reason, {})
        else:
            self.close(job, StepStatus.PASSED, result)
            self.advance(job, Action.JOIN, {})

    def rejoin(self, job: State) -> None:
        """Starts some more children, or is done."""
        if job.record.status is JobStatus.SCHEDULED:
            self.feed(job)
        fan = job.fans[job.record.cursor]
        if not fan.live and (not job.pending or (fan.failed and not fan.partial)):
            self.join(job)

    def tell_cost(self, job: State, parent: State) -> None:
        """A job's cost is its parent's too once it has ended, and that of all above."""
        parent.record.cost += job.record.cost - job.cost_told
        job.cost_told = job.record.cost
        above = next(self.parents(parent), None)
        # Later than the parent: it does not tell of it any more.
        if above is not None and parent.record.status in FINAL:
            self.tell_cost(parent, above)

    def child_ended(self, job: State) -> None:
        parent = self.jobs.get((job.tenant, job.record.start.parent_id or ""))
        if parent is None:
            return
        self.tell_cost(job, parent)
        data: JsonObject = {"child": job.record.job_id, "status": job.record.status}
        fan = self._counts(parent, job)
        if fan is not None:
            fan.live -= 1
            fan.ended += 1
            fan.failed += job.record.status is not JobStatus.SUCCEEDED
            data |= {"ended": fan.ended, "total": fan.total, "failed": fan.failed}
        self.emit(parent, EventType.CHILD_ENDED, job.record.status, **data)
        if fan is not None:
            self.rejoin(parent)

    def _counts(self, parent: State, job: State) -> Fan | None:
        """Where the parent counts this child: at its `map` step, while it stands there."""
        here = job.record.job_id.startswith(f"{parent.record.job_id}-{parent.record.cursor}-")
        if job.record.item is None or parent.record.status in FINAL or not here:
            return None
        return parent.fans.get(parent.record.cursor)


def _record(new: NewJob, jobs: Family) -> JobRecord:
    record = JobRecord(
        job_id=new.job_id, owner=new.owner, start=new.start, status=JobStatus.QUEUED, created_at=jobs.now(),
        last_update=jobs.now(), steps=[StepRecord(step) for step in new.start.steps], traceparent=new.traceparent,
        schedule_id=new.schedule_id, idempotency_key=new.idempotency_key,
        item=None if new.item is None else str(new.item),
    )  # fmt: skip
    # There is no status before the first, for which the table has None.
    record.status = None  # type: ignore[assignment]
    return record


def _brought(child: State | None) -> JsonObject:
    if child is None:
        return {"job_id": None, "status": "pending", "result": None, "error": None}
    record = child.record
    result = record.steps[-1].result if record.status is JobStatus.SUCCEEDED else None
    return {"job_id": record.job_id, "status": str(record.status), "result": result, "error": record.error}
