"""The jobs' client: work that outlives a request."""

import asyncio
from collections.abc import AsyncGenerator

from bureau.errors import BureauError, Refused
from bureau.http import Caller, pause, segment
from bureau.schedules import SchedulesClient
from bureau_contracts.events import Event
from bureau_contracts.jobs import (
    Decision,
    DryRun,
    Job,
    JobAction,
    JobPage,
    JobStarted,
    JobStatus,
    StartJob,
    WorkerList,
)

RECONNECTS = 20
"""How often in a row a cut event stream is taken up again without a single new event."""


class JobsClient:
    def __init__(self, caller: Caller) -> None:
        self._caller, self._call = caller, caller.call
        self.schedules = SchedulesClient(caller)

    async def start(self, job: StartJob, *, idempotency_key: str | None = None) -> JobStarted:
        """With an idempotency key the call may be repeated: it then gives the same job."""
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        return await self._call(
            JobStarted, "POST", "/jobs/start", body=job, headers=headers, repeatable=idempotency_key is not None
        )

    async def dry_run(self, job: StartJob) -> DryRun:
        """What the job would do. Nothing is called and nothing is kept."""
        return await self._call(DryRun, "POST", "/jobs/dry-run", body=job, repeatable=True)

    async def get(self, job_id: str) -> Job:
        return await self._call(Job, "GET", _path(job_id))

    async def page(
        self, *, status: JobStatus | None = None, kind: str | None = None, user_id: str | None = None,
        limit: int | None = None, cursor: str | None = None,
    ) -> JobPage:  # fmt: skip
        params = {"status": status, "kind": kind, "user_id": user_id, "limit": limit, "cursor": cursor}
        return await self._call(JobPage, "GET", "/jobs", params=params)

    async def pause(self, job_id: str) -> JobAction:
        return await self._call(JobAction, "POST", f"{_path(job_id)}/pause")

    async def resume(self, job_id: str) -> JobAction:
        return await self._call(JobAction, "POST", f"{_path(job_id)}/resume")

    async def cancel(self, job_id: str) -> JobAction:
        return await self._call(JobAction, "POST", f"{_path(job_id)}/cancel")

    async def retry(self, job_id: str) -> JobAction:
        return await self._call(JobAction, "POST", f"{_path(job_id)}/retry")

    async def approve(self, job_id: str, step: int, *, comment: str = "") -> JobAction:
        return await self._decide(job_id, step, "approve", comment)

    async def reject(self, job_id: str, step: int, *, comment: str = "") -> JobAction:
        return await self._decide(job_id, step, "reject", comment)

    async def skip(self, job_id: str, step: int, *, comment: str = "") -> JobAction:
        return await self._decide(job_id, step, "skip", comment)

    async def workers(self) -> WorkerList:
        return await self._call(WorkerList, "GET", "/jobs/workers")

    async def events(self, job_id: str, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """Every event after `after`, as it happens, until the job has ended. A cut stream is taken up again.

        Who leaves the loop early should hold this in `contextlib.aclosing`, or the connection stays open for a while.
        """
        silent = 0
        while True:
            try:
                async with self._caller.stream(f"{_path(job_id)}/events", {"last-event-id": str(after)}) as lines:
                    async for line in lines:
                        if line.startswith("data:"):
                            event = Event.model_validate_json(line.removeprefix("data:"), extra="ignore")
                            after, silent = event.seq, 0
                            yield event
                return
            except Refused:
                raise
            except BureauError as error:
                silent += 1
                if silent > RECONNECTS:
                    raise
                await asyncio.sleep(pause(silent, error.retry_after))

    async def _decide(self, job_id: str, step: int, verdict: str, comment: str) -> JobAction:
        body = Decision(comment=comment)
        return await self._call(JobAction, "POST", f"{_path(job_id)}/steps/{step}/{verdict}", body=body)


def _path(job_id: str) -> str:
    return f"/jobs/{segment(job_id)}"
