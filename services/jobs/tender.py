"""Fires the schedules that are due. Every worker does it for all; the store sees to it that a tick has one job."""

from datetime import datetime, timedelta

from bureau_contracts.schedules import Overlap
from kit.logs import get_logger
from services.jobs.schedule_store import Definition, Due, DueSchedule, DueSchedules, Fire
from services.jobs.schedules import firing, job_of
from services.jobs.store import NewJob

log = get_logger(__name__)

ROUNDS = 10
"""Batches of due schedules that one call tends at most, so that whoever called gets on with the rest."""
POSTPONED_SECONDS = 60.0
"""A schedule that cannot be fired, because this program cannot read it, is tried again after so long."""


class Tender:
    def __init__(self, schedules: DueSchedules) -> None:
        self._schedules = schedules

    async def tend(self) -> int:
        """How many jobs it started. Any number of tenders may do it at once. Raises StoreAway."""
        started = 0
        for _ in range(ROUNDS):
            batch = await self._schedules.due()
            for schedule in batch.schedules:
                started += await self._fire(schedule, batch.now)
            if not batch.schedules:
                break
        return started

    async def _fire(self, schedule: DueSchedule, now: datetime) -> int:
        try:
            fire = plan(schedule, now)
        except Exception:
            # The outermost layer of a schedule: one that breaks must not keep the others from their time.
            log.exception("schedule_broke", schedule=schedule.schedule_id)
            again = Due(schedule.tick, now + timedelta(seconds=POSTPONED_SECONDS))
            fire = Fire([], None, Overlap.SKIP, again)
        started = await self._schedules.fire(schedule, fire)
        if started > 0:
            log.info("schedule_fired", schedule=schedule.schedule_id, jobs=started)
        return max(started, 0)


def plan(schedule: DueSchedule, now: datetime) -> Fire:
    """What is to happen to it now. Raises ValueError (BadSchedule, ValidationError) when it cannot be read."""
    definition = Definition.model_validate_json(schedule.definition)
    timing = definition.timing()
    found = firing(timing, schedule.schedule_id, definition.catch_up, schedule.tick, now)
    ticks, dropped = [*schedule.waiting, *found.ticks], found.dropped
    if definition.overlap is Overlap.REPLACE:
        # The last one would cancel the others in the same moment.
        ticks, dropped = ticks[-1:], dropped + len(ticks[:-1])
    job = NewJob(
        job_id="", owner=schedule.owner, by=schedule.schedule_id, start=definition.job, schedule_id=schedule.schedule_id
    )
    named = [(tick, job_of(schedule.schedule_id, tick)) for tick in ticks]
    due = Due.on(timing, schedule.schedule_id, found.next_tick)
    return Fire(named, job if named else None, definition.overlap, due, dropped)
