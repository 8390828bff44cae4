"""HTTP in, service call, contract out."""

from collections.abc import AsyncIterable
from contextlib import aclosing
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from bureau_contracts.jobs import (
    Decision,
    DryRun,
    IdempotencyKey,
    Job,
    JobAction,
    JobId,
    JobPage,
    JobStarted,
    JobStatus,
    StartJob,
    WorkerList,
)
from bureau_contracts.shapes import Label, Limit, SubjectId
from kit.identity import Reach
from kit.web import PrincipalDep, router
from services.jobs.service import JobService
from services.jobs.states import Action

routes = router("/jobs", "jobs")

LAST_SEQ = 2**53
"""No job has so many events; and every JSON reader can hold the number."""


def _service(request: Request) -> JobService:
    service: JobService = request.app.state.jobs
    return service


ServiceDep = Annotated[JobService, Depends(_service)]
JobIdPath = Annotated[JobId, Path()]
StepPath = Annotated[int, Path(ge=0, le=10_000)]
Seq = Annotated[int | None, Query(ge=0, le=LAST_SEQ)]
LastEventId = Annotated[int | None, Header(ge=0, le=LAST_SEQ)]


@routes.post("/start", status_code=202)
async def start(
    principal: PrincipalDep,
    service: ServiceDep,
    body: StartJob,
    idempotency_key: Annotated[IdempotencyKey | None, Header()] = None,
) -> JobStarted:
    """Starts a job. The same Idempotency-Key gives the same job."""
    return await service.start(principal, body, idempotency_key)


@routes.post("/dry-run")
async def dry_run(principal: PrincipalDep, service: ServiceDep, body: StartJob) -> DryRun:
    """What the job would do, step by step. Calls nobody and keeps nothing."""
    return service.dry_run(principal, body)


@routes.get("")
async def page(
    principal: PrincipalDep,
    service: ServiceDep,
    status: JobStatus | None = None,
    kind: Label | None = None,
    user_id: SubjectId | None = None,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> JobPage:
    """Jobs, newest first."""
    return await service.page(principal, status=status, kind=kind, user_id=user_id, limit=limit, cursor=cursor)


@routes.get("/workers")
async def workers(principal: PrincipalDep, service: ServiceDep) -> WorkerList:
    """Who is alive, and what each is doing."""
    return WorkerList(workers=await service.workers(principal))


@routes.get("/{job_id}")
async def get(principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath) -> Job:
    """A job with every step."""
    return await service.get(principal, job_id)


@routes.post("/{job_id}/pause")
async def pause(principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath) -> JobAction:
    """Stops the job at the next step boundary."""
    return await service.steer(principal, job_id, Action.PAUSE)


@routes.post("/{job_id}/resume")
async def resume(principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath) -> JobAction:
    """Goes on from where the job was paused."""
    return await service.steer(principal, job_id, Action.RESUME)


@routes.post("/{job_id}/cancel")
async def cancel(principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath) -> JobAction:
    """Ends the job; finished steps stay recorded."""
    return await service.steer(principal, job_id, Action.CANCEL)


@routes.post("/{job_id}/retry")
async def retry(principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath) -> JobAction:
    """Runs the step again that failed, or whose outcome is unknown; finished steps are kept."""
    return await service.steer(principal, job_id, Action.RETRY)


@routes.post("/{job_id}/steps/{n}/approve")
async def approve(
    principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath, n: StepPath, body: Decision
) -> JobAction:
    """Lets a breakpoint pass; marks a step whose outcome is unknown as passed."""
    return await service.decide(principal, job_id, n, Action.APPROVE, body.comment)


@routes.post("/{job_id}/steps/{n}/reject")
async def reject(
    principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath, n: StepPath, body: Decision
) -> JobAction:
    """Fails the job."""
    return await service.decide(principal, job_id, n, Action.REJECT, body.comment)


@routes.post("/{job_id}/steps/{n}/skip")
async def skip(
    principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath, n: StepPath, body: Decision
) -> JobAction:
    """Goes on without the step."""
    return await service.decide(principal, job_id, n, Action.SKIP, body.comment)


async def _reach(principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath) -> Reach:
    # A stream that has begun cannot be refused any more, so this comes before it.
    return await service.require(principal, job_id)


@routes.get("/{job_id}/events", response_class=EventSourceResponse)
async def events(
    service: ServiceDep,
    reach: Annotated[Reach, Depends(_reach)],
    job_id: JobIdPath,
    after: Seq = None,
    last_event_id: LastEventId = None,
) -> AsyncIterable[ServerSentEvent]:
    """What happened and happens, until the job has ended. Resumable: `after`, or the header Last-Event-ID."""
    seen = last_event_id if last_event_id is not None else after or 0
    async with aclosing(service.events(reach, job_id, seen)) as happened:
        async for event in happened:
            yield ServerSentEvent(data=event, event=event.type, id=str(event.seq))
