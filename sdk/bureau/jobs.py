"""The jobs' client: work that outlives a request."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from bureau.http import Caller, segment
from bureau.job_events import follow
from bureau.schedules import SchedulesClient
from bureau_contracts.events import Event
from bureau_contracts.jobs import (
    Decision,
    DryRun,
    EditStep,
    Job,
    JobAction,
    JobPage,
    JobsStarted,
    JobStarted,
    JobStatus,
    QueueList,
    RetryJob,
    StartJob,
    StartJobs,
    WebhookKey,
    WorkerList,
)
from bureau_contracts.steps import NewStep


class JobsClient:
    def __init__(self, caller: Caller) -> None:
        self._caller, self._call = caller, caller.call
        self.schedules = SchedulesClient(caller)

    async def start(self, job: StartJob, *, idempotency_key: str | None = None) -> JobStarted:
        """With an idempotency key the call may be repeated: it then gives the same job. Raises TooMany when the queue
        is full."""
        headers, repeatable = _keyed(idempotency_key)
        return await self._call(JobStarted, "POST", "/jobs/start", body=job, headers=headers, repeatable=repeatable)

    async def start_all(self, jobs: Sequence[StartJob], *, idempotency_key: str | None = None) -> JobsStarted:
        """All of them or none, at most a hundred; in the order given. With an idempotency key the call may be repeated:
        it then gives the same jobs."""
        body = StartJobs(jobs=list(jobs))
        headers, repeatable = _keyed(idempotency_key)
        return await self._call(JobsStarted, "POST", "/jobs/batch", body=body, headers=headers, repeatable=repeatable)

    async def dry_run(self, job: StartJob) -> DryRun:
        """What the job would do. Nothing is called and nothing is kept."""
        return await self._call(DryRun, "POST", "/jobs/dry-run", body=job, repeatable=True)

    async def get(self, job_id: str) -> Job:
        return await self._call(Job, "GET", _path(job_id))

    async def page(
        self, *, status: JobStatus | None = None, kind: str | None = None, user_id: str | None = None,
        parent_id: str | None = None, waiting_for_me: bool = False, limit: int | None = None, cursor: str | None = None,
    ) -> JobPage:  # fmt: skip
        """Newest first. Jobs that have a parent, such as a `map` step's, are listed under its id alone; with
        `waiting_for_me` those with a breakpoint that names the caller as approver, whosever they are."""
        params = {
            "status": status, "kind": kind, "user_id": user_id, "parent_id": parent_id, "limit": limit,
            "cursor": cursor, "waiting_for_me": "true" if waiting_for_me else None,
        }  # fmt: skip
        return await self._call(JobPage, "GET", "/jobs", params=params)

    async def pause(self, job_id: str) -> JobAction:
        return await self._call(JobAction, "POST", f"{_path(job_id)}/pause")

    async def resume(self, job_id: str) -> JobAction:
        return await self._call(JobAction, "POST", f"{_path(job_id)}/resume")

    async def cancel(self, job_id: str) -> JobAction:
        return await self._call(JobAction, "POST", f"{_path(job_id)}/cancel")

    async def retry(self, job_id: str, *, from_step: int | None = None) -> JobAction:
        """Runs on from the step at which the job stands, or from an earlier one: the results from there on are then
        given up."""
        body = None if from_step is None else RetryJob(from_step=from_step)
        return await self._call(JobAction, "POST", f"{_path(job_id)}/retry", body=body)

    async def approve(self, job_id: str, step: int, *, comment: str = "", result: Any = None) -> JobAction:
        """`result` is what the step has brought about, for later steps to refer to: of a breakpoint or of a step whose
        outcome was unknown."""
        decision = Decision(comment=comment) if result is None else Decision(comment=comment, result=result)
        return await self._decide(job_id, step, "approve", decision)

    async def reject(self, job_id: str, step: int, *, comment: str = "") -> JobAction:
        return await self._decide(job_id, step, "reject", Decision(comment=comment))

    async def skip(self, job_id: str, step: int, *, comment: str = "") -> JobAction:
        return await self._decide(job_id, step, "skip", Decision(comment=comment))

    async def edit(self, job_id: str, step: int, definition: NewStep, *, comment: str = "") -> JobAction:
        """Another definition for a step that has not begun, while its job is paused or waits; the old one is kept."""
        body = EditStep(definition=definition, comment=comment)
        return await self._call(JobAction, "POST", f"{_path(job_id)}/steps/{step}/edit", body=body)

    async def dead(self, *, user_id: str | None = None, limit: int | None = None, cursor: str | None = None) -> JobPage:
        """The dead letters: jobs that failed for good and that nobody has taken care of."""
        params = {"user_id": user_id, "limit": limit, "cursor": cursor}
        return await self._call(JobPage, "GET", "/jobs/dead", params=params)

    async def requeue(self, job_id: str) -> JobAction:
        """Runs a dead letter again from the step that failed."""
        return await self._call(JobAction, "POST", f"/jobs/dead/{segment(job_id)}/requeue")

    async def queues(self) -> QueueList:
        """How many jobs wait and run in each queue, and its limits."""
        return await self._call(QueueList, "GET", "/jobs/queues")

    async def workers(self) -> WorkerList:
        return await self._call(WorkerList, "GET", "/jobs/workers")

    async def webhook_key(self) -> WebhookKey:
        """What the tenant's webhooks are signed with, for any library of Standard Webhooks."""
        return await self._call(WebhookKey, "GET", "/jobs/webhook-key")

    def events(self, job_id: str, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """Every event after number `after`, as it happens, until the job has ended. A cut stream is taken up again.

        Who leaves the loop early should hold this in `contextlib.aclosing`, or the connection stays open for a while.
        """
        return follow(self._caller, f"{_path(job_id)}/events", [after])

    def events_of(
        self, job_ids: Sequence[str], *, after: Mapping[str, int] | None = None
    ) -> AsyncGenerator[Event, None]:
        """The same of up to fifty jobs over one connection, until all have ended. An event's `subject` is its job.

        `after` has the number of the last event that was seen of a job; what it does not name begins with its first.
        """
        each = list(dict.fromkeys(job_ids))
        seen = [(after or {}).get(job_id, 0) for job_id in each]
        return follow(self._caller, "/jobs/events", seen, params={"job_id": each})

    async def _decide(self, job_id: str, step: int, verdict: str, decision: Decision) -> JobAction:
        return await self._call(JobAction, "POST", f"{_path(job_id)}/steps/{step}/{verdict}", body=decision)


def _keyed(idempotency_key: str | None) -> tuple[dict[str, str], bool]:
    """The headers, and whether the call may be repeated."""
    return ({"idempotency-key": idempotency_key}, True) if idempotency_key else ({}, False)


def _path(job_id: str) -> str:
    return f"/jobs/{segment(job_id)}"
