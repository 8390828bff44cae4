"""Both ports of schedules over the jobs of one process: for tests, with the semantics of the real ones."""

from dataclasses import replace
from datetime import datetime

from bureau_contracts.schedules import Overlap
from kit.identity import Reach
from services.jobs.errors import ScheduleNotFound, TooManySchedules
from services.jobs.job_memory import State
from services.jobs.schedule_store import (
    MOST_WAITING,
    RECENT,
    DueBatch,
    DueSchedule,
    Fire,
    ScheduleRecord,
)
from services.jobs.states import FINAL
from services.jobs.store import NewJob, Started
from services.jobs.store_memory import MemoryJobs


class MemorySchedules:
    def __init__(self, jobs: MemoryJobs) -> None:
        self.jobs = jobs
        self._kept: dict[tuple[str, str], ScheduleRecord] = {}

    async def now(self) -> datetime:
        return self.jobs.clock.now()

    async def add(self, schedule: ScheduleRecord, limit: int) -> None:
        tenant = schedule.owner.tenant
        if sum(each == tenant for each, _ in self._kept) >= limit:
            raise TooManySchedules(limit)
        now = self.jobs.clock.now()
        self._kept[tenant, schedule.schedule_id] = replace(schedule, version=1, created_at=now, last_update=now)

    async def get(self, reach: Reach, schedule_id: str) -> ScheduleRecord:
        found = self._kept.get((reach.tenant, schedule_id))
        if found is None or reach.user not in (None, found.owner.user):
            raise ScheduleNotFound(schedule_id)
        return found

    async def page(self, reach: Reach, *, limit: int, after: str | None) -> list[ScheduleRecord]:
        found = [
            schedule
            for (tenant, schedule_id), schedule in sorted(self._kept.items(), reverse=True)
            if tenant == reach.tenant and reach.user in (None, schedule.owner.user)
            if after is None or schedule_id < after
        ]
        return found[:limit]

    async def change(self, schedule: ScheduleRecord) -> bool:
        kept = await self.get(Reach(schedule.owner.tenant, None), schedule.schedule_id)
        if kept.version != schedule.version:
            return False
        if not schedule.definition.enabled:
            kept = replace(kept, skipped=kept.skipped + len(kept.waiting), waiting=())
        changed = kept.with_definition(schedule.definition, schedule.due)
        self._keep(replace(changed, version=kept.version + 1, last_update=self.jobs.clock.now()))
        return True

    async def remove(self, reach: Reach, schedule_id: str) -> None:
        await self.get(reach, schedule_id)
        del self._kept[reach.tenant, schedule_id]

    async def run(self, reach: Reach, schedule_id: str, job: NewJob) -> Started:
        kept = await self.get(reach, schedule_id)
        started = self.jobs.start_job(job)
        if started.created:
            self._keep(_remembering(kept, started.job_id))
        return started

    async def due(self) -> DueBatch:
        now = self.jobs.clock.now()
        return DueBatch(now, [_as_due(each) for each in self._kept.values() if self._is_due(each, now)])

    def _is_due(self, schedule: ScheduleRecord, now: datetime) -> bool:
        at = schedule.due.at
        return (at is not None and at <= now) or bool(schedule.waiting and not self._under_way(schedule))

    async def fire(self, schedule: DueSchedule, fire: Fire) -> int:
        kept = self._kept.get((schedule.owner.tenant, schedule.schedule_id))
        if kept is None or kept.version != schedule.version:
            return -1
        before = kept.started
        kept = replace(kept, version=kept.version + 1, waiting=(), skipped=kept.skipped + fire.dropped, due=fire.due)
        for tick, job_id in fire.ticks:
            if (kept.owner.tenant, job_id) not in self.jobs.jobs:
                kept = self._tick(kept, fire, tick, job_id)
        self._keep(kept)
        return kept.started - before

    def _tick(self, kept: ScheduleRecord, fire: Fire, tick: datetime, job_id: str) -> ScheduleRecord:
        assert fire.job, "there is no tick without a job"
        others = self._under_way(kept)
        if others and fire.overlap is Overlap.QUEUE and len(kept.waiting) < MOST_WAITING:
            return replace(kept, waiting=(*kept.waiting, tick))
        if others and fire.overlap is not Overlap.REPLACE:
            return replace(kept, skipped=kept.skipped + 1)
        for job in others:
            self.jobs.cancel_job(job, {"by": kept.schedule_id, "reason": "replaced by the next tick"})
        self.jobs.start_job(replace(fire.job, job_id=job_id))
        return _remembering(replace(kept, started=kept.started + 1, last_tick=tick), job_id)

    def _under_way(self, schedule: ScheduleRecord) -> list[State]:
        found = (self.jobs.jobs.get((schedule.owner.tenant, job_id)) for job_id in schedule.job_ids)
        return [job for job in found if job and job.record.status not in FINAL]

    def _keep(self, schedule: ScheduleRecord) -> None:
        self._kept[schedule.owner.tenant, schedule.schedule_id] = schedule


def _remembering(schedule: ScheduleRecord, job_id: str) -> ScheduleRecord:
    return replace(schedule, job_ids=(job_id, *schedule.job_ids)[:RECENT])


def _as_due(schedule: ScheduleRecord) -> DueSchedule:
    return DueSchedule(
        schedule.schedule_id, schedule.owner, schedule.definition.model_dump_json(), schedule.version,
        schedule.due.tick, schedule.waiting,
    )  # fmt: skip
