"""The one place where a job's status changes: `lua/shared/move.lua` in plain Python."""

from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Any

from bureau_contracts.events import EventType
from bureau_contracts.jobs import JobStatus
from bureau_contracts.shapes import JsonObject
from bureau_contracts.steps import StepStatus
from services.jobs.job_memory import State
from services.jobs.lines_memory import Lines
from services.jobs.states import FINAL, HELD, ON_THE_CLOCK, TABLE, Action


class Moves(Lines, ABC):
    @abstractmethod
    def child_ended(self, job: State) -> None:
        """A job that belongs to another one has ended."""

    def keep_time(self, job: State, before: JobStatus | None, to: JobStatus) -> None:
        if to in ON_THE_CLOCK and before not in ON_THE_CLOCK and job.time_left is not None:
            job.record.deadline = self.now() + job.time_left
        elif to not in ON_THE_CLOCK and before in ON_THE_CLOCK and job.record.deadline is not None:
            job.time_left = max(timedelta(0), job.record.deadline - self.now())
            job.record.deadline = None

    def end_job(self, job: State, action: Action) -> None:
        job.expires_at = self.now() + timedelta(seconds=self.bounds.retention_seconds)
        # What a human rejected is no dead letter, and a map's child is its parent's matter.
        failed = job.record.status is JobStatus.FAILED
        job.dead = failed and action is not Action.REJECT and job.record.item is None
        if job.record.start.webhook_url is not None:
            job.webhook_due, job.webhook_attempts = self.now(), 0

    def revive(self, job: State) -> None:
        job.expires_at, job.dead, job.webhook_due = None, False, None

    def move(self, job: State, action: Action, to: JobStatus, data: JsonObject) -> None:
        before = job.record.status
        assert to in TABLE[action][before], f"{action} must not lead from {before} to {to}"
        job.record.status, job.record.last_update = to, self.now()
        if before is JobStatus.QUEUED:
            self.dequeue(job)
        elif before in HELD and to not in HELD:
            self.let_go(job)
        elif before in FINAL:
            self.revive(job)
        self.keep_time(job, before, to)
        if to is JobStatus.QUEUED:
            self.enqueue(job)
        elif to in HELD and before not in HELD:
            self.hold(job)
        if before is not to:
            self.emit(job, EventType.JOB_TRANSITION, to, **data, **{"from": before, "action": action})
        if to in FINAL:
            self.end_job(job, action)
            if job.record.start.parent_id:
                self.child_ended(job)

    def close(self, job: State, status: StepStatus, result: Any, **data: Any) -> None:
        """The step is done with: passed or skipped."""
        step = job.step
        step.result, step.status, step.finished_at = result, status, self.now()
        step.error = step.state = job.left = None
        self.emit_step(job, EventType.STEP_FINISHED, status, **data)
        if step.attempts:
            # The time of one that was skipped before it began is the whole job's: it shall not start before.
            job.wake_at = None
        job.record.cursor += 1
        job.losses = 0

    def fail_step(self, job: State, reason: str, **data: Any) -> None:
        job.step.status, job.step.error, job.step.finished_at = StepStatus.FAILED, reason, self.now()
        self.emit_step(job, EventType.STEP_FINISHED, StepStatus.FAILED, error=reason, **data)

    def fail_job(self, job: State, action: Action, reason: str, data: JsonObject) -> None:
        job.record.error = reason
        self.move(job, action, JobStatus.FAILED, data)

    def doubt(self, job: State, reason: str) -> None:
        """Nobody knows whether the step took effect."""
        job.step.status, job.step.error, job.step.finished_at = StepStatus.UNKNOWN_OUTCOME, reason, self.now()
        self.emit_step(job, EventType.STEP_FINISHED, StepStatus.UNKNOWN_OUTCOME, error=reason)
