"""What a job does next, and what becomes of it when its worker, its time or its caller leaves it:
`lua/shared/advance.lua` in plain Python."""

from abc import abstractmethod
from datetime import timedelta
from typing import Any

from bureau_contracts.events import EventType
from bureau_contracts.jobs import JobStatus
from bureau_contracts.shapes import JsonObject
from bureau_contracts.steps import StepKind, StepStatus
from services.jobs.job_memory import State, asked
from services.jobs.moves_memory import Moves
from services.jobs.states import FINAL, HELD, Action, legal


class Machine(Moves):
    @abstractmethod
    def rejoin(self, job: State) -> None:
        """Goes on with the children of the `map` step at the cursor."""

    def pass_over(self, job: State) -> None:
        """Steps that somebody skipped before it was their turn."""
        steps = job.record.steps
        while job.record.cursor < len(steps) and job.step.status is StepStatus.SKIPPED:
            job.record.cursor += 1

    def wait_for_human(self, job: State, action: Action, data: JsonObject) -> None:
        reached = asked(job)
        expires = job.step.definition.approval.expires_seconds
        if not reached:
            self.begin(job)
            if expires:
                job.wake_at = self.now() + timedelta(seconds=expires)
        elif job.left is not None:
            job.wake_at, job.left = self.now() + job.left, None
        self.move(job, action, JobStatus.WAITING_APPROVAL, data)
        if not reached:
            self.emit_step(job, EventType.BREAKPOINT_HIT, JobStatus.WAITING_APPROVAL)

    def advance(self, job: State, action: Action, data: JsonObject, *, keep: bool = False) -> bool:
        """What the job does now that its cursor stands where it stands. True when the worker that holds it (`keep`)
        shall run the step at the cursor."""
        self.pass_over(job)
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
            self.wait_for_human(job, action, data)
        elif kind is StepKind.WAIT:
            self.begin(job)
            job.wake_at = self.now() + timedelta(seconds=job.step.definition.seconds or 0)
            self.move(job, action, JobStatus.SCHEDULED, data)
        elif kind is StepKind.MAP and job.step.status is StepStatus.IN_PROGRESS:
            self.move(job, action, JobStatus.SCHEDULED, data)
            self.rejoin(job)
        else:
            self.move(job, action, JobStatus.RUNNING if keep else JobStatus.QUEUED, data)
            return keep
        return False

    def give_up(self, job: State, action: Action, reason: str) -> None:
        """The worker is gone (LOSE) or goes (RELEASE) in the middle of a step."""
        data: JsonObject = {"reason": reason}
        once, losses = job.once, 0
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
        else:
            self.move(job, action, JobStatus.WAITING_APPROVAL if once else JobStatus.QUEUED, data)

    def abandon(self, job: State, reason: str, *, doubtful: bool) -> None:
        """What is under way is not waited for: its worker learns it with the next heartbeat, and what it reports is
        refused."""
        if job.record.status in HELD and doubtful:
            self.doubt(job, reason)
        elif job.step.status is StepStatus.IN_PROGRESS:
            job.step.status = StepStatus.PENDING

    def cancel_job(self, job: State, data: JsonObject) -> None:
        if job.record.status in FINAL:
            return
        self.abandon(job, "cancelled while it was under way", doubtful=True)
        self.move(job, Action.CANCEL, JobStatus.CANCELLED, data)
        job.pending.clear()
        for child in self.each_live(job):
            self.cancel_job(child, data)

    def time_out(self, job: State) -> None:
        reason = "was not done by its deadline"
        self.abandon(job, reason, doubtful=job.once)
        self.fail_job(job, Action.TIME_OUT, reason, {"reason": reason})
        job.pending.clear()
        for child in self.each_live(job):
            self.cancel_job(child, {"reason": f"the deadline of {job.record.job_id} has passed"})

    def pause_job(self, job: State, data: JsonObject) -> None:
        status = job.record.status
        if status is JobStatus.WAITING_APPROVAL and job.wake_at is not None:
            job.left, job.wake_at = max(timedelta(0), job.wake_at - self.now()), None
        to = JobStatus.PAUSING if status is JobStatus.RUNNING else JobStatus.PAUSED
        self.move(job, Action.PAUSE, to, data)
        for child in self.each_live(job):
            if legal(Action.PAUSE, child.record.status):
                self.pause_job(child, data)

    def resume_job(self, job: State, data: JsonObject) -> None:
        if job.record.status is JobStatus.PAUSING:
            self.move(job, Action.RESUME, JobStatus.RUNNING, data)
        else:
            self.advance(job, Action.RESUME, data)
        for child in self.each_live(job):
            if legal(Action.RESUME, child.record.status):
                self.resume_job(child, data)

    def retry_job(self, job: State, data: JsonObject, start: int | None = None) -> None:
        """The step at the cursor, and with `start` everything since that one, as if it had never begun."""
        record = job.record
        first = record.cursor if start is None else start
        for index in range(first, min(record.cursor, len(record.steps) - 1) + 1):
            record.steps[index].redo += first < record.cursor
            self.begin_anew(job, index)
        record.cursor = first
        job.losses, job.wake_at, record.error = 0, None, None
        job.pending.clear()
        if record.status in FINAL:
            record.attempt += 1
            if record.start.deadline_seconds:
                job.time_left = timedelta(seconds=record.start.deadline_seconds)
        self.advance(job, Action.RETRY, data)

    def decide(self, job: State, action: Action, decision: Action, by: str, comment: str, result: Any) -> None:
        """A human's decision, or the one that an expiry makes (`action` EXPIRE), on the step at the cursor."""
        data: JsonObject = {"by": by, "comment": comment}
        job.step.verdict = {"decision": str(decision), **data, "at": self.now().isoformat()}
        if asked(job):
            self.emit_step(job, EventType.BREAKPOINT_RESUMED, decision, **data)
        if decision is Action.REJECT:
            reason = f"rejected by {by}" + (f": {comment}" if comment else "")
            self.fail_step(job, reason, by=by)
            self.fail_job(job, action, reason, data)
        else:
            self.close(
                job,
                StepStatus.SKIPPED if decision is Action.SKIP else StepStatus.PASSED,
                result,
                by=by,
                comment=comment,
            )
            self.advance(job, action, data)
