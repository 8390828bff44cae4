"""HTTP in, service call, contract out."""

from collections.abc import AsyncIterable
from contextlib import aclosing
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from bureau_contracts.jobs import (
    MOST_JOBS_WATCHED,
    Decision,
    DryRun,
    EditStep,
    IdempotencyKey,
    Job,
    JobAction,
    JobId,
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
from bureau_contracts.shapes import Label, Limit, SubjectId
from kit.exposition import MEDIA_TYPE, prefers_text
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
Cursor = Annotated[str | None, Query(max_length=500)]
JobIds = Annotated[list[JobId], Query(min_length=1, max_length=MOST_JOBS_WATCHED)]
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


@routes.post("/batch", status_code=202)
async def start_all(
    principal: PrincipalDep,
    service: ServiceDep,
    body: StartJobs,
    idempotency_key: Annotated[IdempotencyKey | None, Header(max_length=190)] = None,
) -> JobsStarted:
    """Starts jobs, all or none. The same Idempotency-Key gives the same jobs."""
    return await service.start_all(principal, body.jobs, idempotency_key)


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
    parent_id: JobId | None = None,
    waiting_for_me: bool = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> JobPage:
    """Jobs, newest first: those without a parent; with `parent_id` its children; with `waiting_for_me` those with a
    breakpoint that names the caller as approver."""
    return await service.page(
        principal, status=status, kind=kind, user_id=user_id, parent_id=parent_id, waiting_for_me=waiting_for_me,
        limit=limit, cursor=cursor,
    )  # fmt: skip


@routes.get("/dead")
async def dead(
    principal: PrincipalDep, service: ServiceDep, user_id: SubjectId | None = None, limit: Limit = 50,
    cursor: Cursor = None,
) -> JobPage:  # fmt: skip
    """Jobs that failed for good, unless a human rejected them; newest first."""
    return await service.dead(principal, user_id=user_id, limit=limit, cursor=cursor)


@routes.post("/dead/{job_id}/requeue")
async def requeue(principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath) -> JobAction:
    """Lets a failed job go on at the step that failed; finished steps are kept."""
    return await service.requeue(principal, job_id)


@routes.get("/workers")
async def workers(principal: PrincipalDep, service: ServiceDep) -> WorkerList:
    """Who is alive, and what each is doing."""
    return WorkerList(workers=await service.workers(principal))


@routes.get(
    "/queues",
    response_model=QueueList,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format when Accept prefers it"}},
)
async def queues(
    principal: PrincipalDep, service: ServiceDep, accept: Annotated[str, Header()] = ""
) -> QueueList | Response:
    """How much waits and runs in each queue: of the caller's tenant; with the scope `operator` of all. As Prometheus'
    text for that scope alone."""
    if prefers_text(accept):
        return PlainTextResponse(await service.queue_metrics(principal), media_type=MEDIA_TYPE)
    return QueueList(queues=await service.queues(principal))


@routes.get("/webhook-key")
async def webhook_key(principal: PrincipalDep, service: ServiceDep) -> WebhookKey:
    """What the tenant's webhooks are signed with, for any library of Standard Webhooks. For its administrators."""
    return WebhookKey(key=service.webhook_key(principal))


async def _reach_all(principal: PrincipalDep, service: ServiceDep, job_id: JobIds) -> Reach:
    return await service.require(principal, *job_id)


@routes.get("/events", response_class=EventSourceResponse)
async def events_of(
    service: ServiceDep,
    reach: Annotated[Reach, Depends(_reach_all)],
    job_id: JobIds,
    last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,15}(\.[0-9]{1,15})*$")] = None,
) -> AsyncIterable[ServerSentEvent]:
    """What happened and happens in several jobs, until all have ended. The id of an event tells the number of the last
    one of each job, in the order in which they are named: `5.7.0`. Resumable by Last-Event-ID."""
    seen = [int(place) for place in (last_event_id or "").split(".") if place]
    places = (seen + [0] * len(job_id))[: len(job_id)]
    async with aclosing(service.events(reach, job_id, places)) as happened:
        async for after, event in happened:
            yield ServerSentEvent(data=event, event=event.type, id=".".join(map(str, after)))


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
async def retry(
    principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath, body: RetryJob | None = None
) -> JobAction:
    """Runs the step again that failed, or whose outcome is unknown; finished steps are kept. Of a job that has ended
    also an earlier step and all after it."""
    return await service.steer(principal, job_id, Action.RETRY, body.from_step if body else None)


@routes.post("/{job_id}/steps/{n}/approve")
async def approve(
    principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath, n: StepPath, body: Decision
) -> JobAction:
    """Lets a breakpoint pass; marks a step whose outcome is unknown as passed."""
    return await service.decide(principal, job_id, n, Action.APPROVE, body)


@routes.post("/{job_id}/steps/{n}/reject")
async def reject(
    principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath, n: StepPath, body: Decision
) -> JobAction:
    """Fails the job."""
    return await service.decide(principal, job_id, n, Action.REJECT, body)


@routes.post("/{job_id}/steps/{n}/skip")
async def skip(
    principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath, n: StepPath, body: Decision
) -> JobAction:
    """Goes on without the step."""
    return await service.decide(principal, job_id, n, Action.SKIP, body)


@routes.post("/{job_id}/steps/{n}/edit")
async def edit(
    principal: PrincipalDep, service: ServiceDep, job_id: JobIdPath, n: StepPath, body: EditStep
) -> JobAction:
    """Gives a step that has not begun another definition; the old one is kept with it."""
    return await service.edit(principal, job_id, n, body)


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
    async with aclosing(service.events(reach, [job_id], [seen])) as happened:
        async for _, event in happened:
            yield ServerSentEvent(data=event, event=event.type, id=str(event.seq))
