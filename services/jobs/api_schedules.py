"""HTTP in, service call, contract out: the routes of schedules."""

from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

from bureau_contracts.jobs import IdempotencyKey, JobStarted
from bureau_contracts.schedules import (
    ChangeSchedule,
    NewSchedule,
    Schedule,
    ScheduleDeleted,
    ScheduleId,
    SchedulePage,
)
from bureau_contracts.shapes import Limit, SubjectId
from kit.web import PrincipalDep, router
from services.jobs.schedule_service import ScheduleService

routes = router("/jobs/schedules", "schedules")


def _service(request: Request) -> ScheduleService:
    service: ScheduleService = request.app.state.schedules
    return service


ServiceDep = Annotated[ScheduleService, Depends(_service)]
ScheduleIdPath = Annotated[ScheduleId, Path()]


@routes.post("", status_code=201)
async def add(principal: PrincipalDep, service: ServiceDep, body: NewSchedule) -> Schedule:
    """A job that starts at every tick of a cron expression, in a time zone."""
    return await service.add(principal, body)


@routes.get("")
async def page(
    principal: PrincipalDep,
    service: ServiceDep,
    user_id: SubjectId | None = None,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> SchedulePage:
    """Schedules, newest first."""
    return await service.page(principal, user_id=user_id, limit=limit, cursor=cursor)


@routes.get("/{schedule_id}")
async def get(principal: PrincipalDep, service: ServiceDep, schedule_id: ScheduleIdPath) -> Schedule:
    """When it fires next, when it fired last, and which jobs it started."""
    return await service.get(principal, schedule_id)


@routes.patch("/{schedule_id}")
async def change(
    principal: PrincipalDep, service: ServiceDep, schedule_id: ScheduleIdPath, body: ChangeSchedule
) -> Schedule:
    """Changes what is named. `enabled: false` pauses; ticks that pass meanwhile are not made up for."""
    return await service.change(principal, schedule_id, body)


@routes.delete("/{schedule_id}")
async def remove(principal: PrincipalDep, service: ServiceDep, schedule_id: ScheduleIdPath) -> ScheduleDeleted:
    """Its jobs stay."""
    await service.remove(principal, schedule_id)
    return ScheduleDeleted(schedule_id=schedule_id)


@routes.post("/{schedule_id}/run", status_code=202)
async def run(
    principal: PrincipalDep,
    service: ServiceDep,
    schedule_id: ScheduleIdPath,
    idempotency_key: Annotated[IdempotencyKey | None, Header()] = None,
) -> JobStarted:
    """Starts its job now, also when it is paused. The same Idempotency-Key gives the same job."""
    return await service.run(principal, schedule_id, idempotency_key)
