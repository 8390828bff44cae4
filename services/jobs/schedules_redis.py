"""Both ports of schedules on Redis or Valkey: every call is one function there."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bureau_contracts.jobs import JobStatus
from kit.identity import Owner, Reach
from services.jobs import redis_records as written
from services.jobs.calls_redis import Calls
from services.jobs.errors import IdempotencyKeyReused, ScheduleNotFound, TooManySchedules
from services.jobs.redis_records import as_mapping, moment
from services.jobs.schedule_store import Definition, Due, DueBatch, DueSchedule, Fire, ScheduleRecord
from services.jobs.store import NewJob, Started

BATCH = 20
"""How many due schedules one call gives; each comes with its whole definition."""


class RedisSchedules:
    def __init__(self, call: Calls) -> None:
        self._call = call

    async def now(self) -> datetime:
        return moment(await self._call("schedule_now"))

    async def add(self, schedule: ScheduleRecord, limit: int) -> None:
        owner = schedule.owner
        definition = schedule.definition.model_dump_json()
        place = owner.tenant, owner.user, schedule.schedule_id
        if await self._call("schedule_add", *place, definition, *_due(schedule.due), limit) == "full":
            raise TooManySchedules(limit)

    async def get(self, reach: Reach, schedule_id: str) -> ScheduleRecord:
        row = await self._call("schedule_read", reach.tenant, schedule_id, reach.user or "")
        if not row:
            raise ScheduleNotFound(schedule_id)
        return _record(reach.tenant, row)

    async def page(self, reach: Reach, *, limit: int, after: str | None) -> list[ScheduleRecord]:
        rows = await self._call("schedule_page", reach.tenant, reach.user or "", after or "", limit)
        return [_record(reach.tenant, row) for row in rows]

    async def change(self, schedule: ScheduleRecord) -> bool:
        definition = schedule.definition
        answer = await self._call(
            "schedule_change", schedule.owner.tenant, schedule.schedule_id, schedule.version,
            definition.model_dump_json(), *_due(schedule.due), "1" if definition.enabled else "",
        )  # fmt: skip
        if answer == "missing":
            raise ScheduleNotFound(schedule.schedule_id)
        return bool(answer == "changed")

    async def remove(self, reach: Reach, schedule_id: str) -> None:
        if await self._call("schedule_remove", reach.tenant, schedule_id, reach.user or "") == "missing":
            raise ScheduleNotFound(schedule_id)

    async def run(self, reach: Reach, schedule_id: str, job: NewJob) -> Started:
        place = reach.tenant, schedule_id, reach.user or ""
        kind, *found = await self._call("schedule_run", *place, *written.start_arguments(job))
        if kind == "missing":
            raise ScheduleNotFound(schedule_id)
        if kind == "reused":
            raise IdempotencyKeyReused
        return Started(found[0], JobStatus(found[1]), created=kind == "created")

    async def due(self) -> DueBatch:
        now, *rows = await self._call("schedule_due", BATCH)
        return DueBatch(moment(now), [_due_schedule(row) for row in rows])

    async def fire(self, schedule: DueSchedule, fire: Fire) -> int:
        ticks = [part for tick, job_id in fire.ticks for part in (_ms(tick), job_id)]
        job = written.start_arguments(fire.job) if fire.job else []
        answer = await self._call(
            "schedule_fire", schedule.owner.tenant, schedule.schedule_id, schedule.version, *_due(fire.due),
            fire.overlap, fire.dropped, len(fire.ticks), *ticks, *job,
        )  # fmt: skip
        return int(answer)


def _due(due: Due) -> tuple[str | int, str | int]:
    return _ms(due.tick), _ms(due.at)


def _ms(moment: datetime | None) -> str | int:
    return round(moment.timestamp() * 1000) if moment else ""


def _moment(written: str | None) -> datetime | None:
    return moment(written) if written else None


def _record(tenant: str, row: Sequence[Any]) -> ScheduleRecord:
    """Of what `show_schedule` gives."""
    schedule_id, flat, waiting, job_ids = row
    fields = as_mapping(flat)
    return ScheduleRecord(
        schedule_id=schedule_id,
        owner=Owner(tenant, fields["owner"]),
        definition=Definition.model_validate_json(fields["definition"]),
        version=int(fields["version"]),
        due=Due(_moment(fields["tick"]), _moment(fields["due_at"])),
        created_at=moment(fields["created_at"]),
        last_update=moment(fields["last_update"]),
        last_tick=_moment(fields.get("last_tick")),
        waiting=tuple(moment(tick) for tick in waiting),
        started=int(fields["started"]),
        skipped=int(fields["skipped"]),
        job_ids=tuple(job_ids),
    )


def _due_schedule(row: Sequence[Any]) -> DueSchedule:
    tenant, schedule_id, owner, version, tick, definition, waiting = row
    ticks = tuple(moment(each) for each in waiting)
    return DueSchedule(schedule_id, Owner(tenant, owner), definition, int(version), _moment(tick), ticks)
