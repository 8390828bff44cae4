"""The rules of schedules: what may be said of one, and whose it is. When it fires, schedules.py says."""

import re
from datetime import datetime
from itertools import islice

from bureau_contracts.jobs import JobStarted, StartJob
from bureau_contracts.problems import InvalidField
from bureau_contracts.schedules import ChangeSchedule, NewSchedule, Schedule, SchedulePage
from kit.errors import Invalid
from kit.identity import Owner, Principal
from kit.ids import new_id
from kit.paging import decode_cursor, encode_cursor
from kit.telemetry import current_trace
from services.jobs.errors import ScheduleChanged
from services.jobs.rules import Rules, refuse
from services.jobs.schedule_store import Definition, Due, ScheduleRecord, ScheduleStore
from services.jobs.schedules import BadSchedule, Timing
from services.jobs.service import fingerprint
from services.jobs.store import NewJob

TICKS_SHOWN = 5
ATTEMPTS = 10
"""At a change: a schedule also changes when it fires, which says nothing against the change."""

_SCHEDULE_ID = re.compile("sched-[0-9a-z-]{1,64}")


class ScheduleService:
    def __init__(self, store: ScheduleStore, rules: Rules, limit: int) -> None:
        """`limit`: how many schedules a tenant may have."""
        self._store, self._rules, self._limit = store, rules, limit

    async def add(self, principal: Principal, new: NewSchedule) -> Schedule:
        owner = principal.owner(new.job.user_id)
        definition = Definition.model_validate(new.model_dump())
        now = await self._store.now()
        timing = self._checked(principal, definition, now)
        schedule_id = new_id("sched")
        record = ScheduleRecord(
            schedule_id=schedule_id, owner=owner, definition=definition, version=1,
            due=_due(definition, timing, schedule_id, now), created_at=now, last_update=now,
        )  # fmt: skip
        await self._store.add(record, self._limit)
        return await self.get(principal, schedule_id)

    async def get(self, principal: Principal, schedule_id: str) -> Schedule:
        return _shown(await self._store.get(principal.reach(), schedule_id))

    async def page(self, principal: Principal, *, user_id: str | None, limit: int, cursor: str | None) -> SchedulePage:
        after = _schedule_of(cursor) if cursor else None
        found = await self._store.page(principal.reach(user_id), limit=limit + 1, after=after)
        rows = found[:limit]
        onward = encode_cursor(rows[-1].schedule_id) if len(found) > limit else None
        return SchedulePage(schedules=[_shown(row) for row in rows], next_cursor=onward)

    async def change(self, principal: Principal, schedule_id: str, wanted: ChangeSchedule) -> Schedule:
        """Ticks that passed while it was paused, or under another expression, are not made up for."""
        reach = principal.reach()
        named = {name: getattr(wanted, name) for name in wanted.model_fields_set}
        named = {name: value for name, value in named.items() if value is not None}
        for _ in range(ATTEMPTS):
            record = await self._store.get(reach, schedule_id)
            definition = record.definition.model_copy(update=named)
            _check_owner(record.owner, wanted.job)
            now = await self._store.now()
            timing = self._checked(principal, definition, now)
            same = definition.enabled == record.definition.enabled and timing == record.definition.timing()
            due = record.due if same else _due(definition, timing, schedule_id, now)
            if await self._store.change(record.with_definition(definition, due)):
                return await self.get(principal, schedule_id)
        raise ScheduleChanged(schedule_id)

    async def remove(self, principal: Principal, schedule_id: str) -> None:
        """Its jobs stay."""
        await self._store.remove(principal.reach(), schedule_id)

    async def run(self, principal: Principal, schedule_id: str, idempotency_key: str | None) -> JobStarted:
        """Starts its job now, also when it is paused and whatever is under way; its ticks stay as they are. Raises
        Invalid and FunctionForbidden as for any job that somebody starts."""
        reach = principal.reach()
        record = await self._store.get(reach, schedule_id)
        start = record.definition.job
        self._rules.check(principal, start, "job")
        trace = current_trace()
        job = NewJob(
            job_id=new_id("job"), owner=record.owner, by=principal.subject, start=start,
            traceparent=trace.traceparent if trace else "", idempotency_key=idempotency_key,
            fingerprint=f"{schedule_id}:{fingerprint(start)}", schedule_id=schedule_id,
        )  # fmt: skip
        started = await self._store.run(reach, schedule_id, job)
        return JobStarted(job_id=started.job_id, status=started.status, created=started.created)

    def _checked(self, principal: Principal, definition: Definition, now: datetime) -> Timing:
        """Raises Invalid, also for a job that could not be started."""
        self._rules.check(principal, definition.job, "body.job")
        if definition.job.start_at or definition.job.parent_id:
            message = "a schedule's jobs start at its ticks, and belong to nobody else"
            refuse([InvalidField(location="body.job", message=message)])
        try:
            timing = definition.timing()
            timing.check_from(now)
        except BadSchedule as error:
            refuse([InvalidField(location=f"body.{error.field}", message=str(error))])
            raise
        return timing


def _check_owner(owner: Owner, job: StartJob | None) -> None:
    if job is not None and job.user_id not in (None, owner.user):
        message = "a schedule stays with its user; add one for the other"
        refuse([InvalidField(location="body.job.user_id", message=message)])


def _due(definition: Definition, timing: Timing, schedule_id: str, now: datetime) -> Due:
    return Due.on(timing, schedule_id, timing.next(now)) if definition.enabled else Due()


def _shown(record: ScheduleRecord) -> Schedule:
    definition, tick = record.definition, record.due.tick
    following = islice(definition.timing().after(tick), TICKS_SHOWN - 1) if tick else ()
    return Schedule(
        schedule_id=record.schedule_id, title=definition.title, tenant=record.owner.tenant, owner=record.owner.user,
        cron=definition.cron, timezone=definition.timezone, job=definition.job, enabled=definition.enabled,
        overlap=definition.overlap, catch_up=definition.catch_up, jitter_seconds=definition.jitter_seconds,
        next_ticks=[tick, *following] if tick else [], next_at=record.due.at, last_tick=record.last_tick,
        waiting=list(record.waiting), started=record.started, skipped=record.skipped, job_ids=list(record.job_ids),
        created_at=record.created_at, last_update=record.last_update,
    )  # fmt: skip


def _schedule_of(cursor: str) -> str:
    (schedule_id,) = decode_cursor(cursor, str)
    if not _SCHEDULE_ID.fullmatch(str(schedule_id)):
        raise Invalid("cursor: not one that this list gave out", code="invalid_cursor")
    return str(schedule_id)
