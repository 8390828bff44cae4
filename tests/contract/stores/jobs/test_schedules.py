"""Schedules on every adapter: one job per tick, whoever tends them, and overlaps as was said."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from bureau_contracts.jobs import JobStatus, StartJob
from bureau_contracts.schedules import CatchUp, Overlap
from kit.identity import Owner, Reach
from kit.ids import new_id
from services.jobs.errors import IdempotencyKeyReused, ScheduleNotFound, TooManySchedules
from services.jobs.schedule_store import MOST_WAITING, RECENT, Definition, Due, DueSchedule, ScheduleRecord
from services.jobs.schedules import job_of
from services.jobs.states import Action
from services.jobs.store import Bounds, NewJob
from services.jobs.tender import Tender, plan
from tests.job_stores import AGENT, ANN, Jobs, Open, mine

BEN, STRANGER = Owner("acme", "ben"), Owner("globex", "ann")
ROOMY = 10_000
HOUR = timedelta(hours=1)


def definition(**fields: Any) -> Definition:
    said: dict[str, Any] = {
        "title": "every hour", "cron": "0 * * * *", "timezone": "UTC", "enabled": True, "overlap": Overlap.SKIP,
        "catch_up": CatchUp.ONE, "jitter_seconds": 0, "job": StartJob.model_validate({"title": "t", "steps": [AGENT]}),
    }  # fmt: skip
    return Definition.model_validate(said | fields)


async def minute(jobs: Jobs) -> datetime:
    """The one that runs, by the store's clock."""
    return (await jobs.schedules.now()).replace(second=0, microsecond=0)


async def add(
    jobs: Jobs, *, tick: datetime | None = None, owner: Owner = ANN, limit: int = ROOMY, **fields: Any
) -> ScheduleRecord:
    """An hourly schedule whose next tick is `tick`: in the past, when nobody tended it for a while."""
    now, schedule_id = await jobs.schedules.now(), new_id("sched")
    said = definition(**{"cron": f"{(tick or now).minute} * * * *"} | fields)
    due = Due.on(said.timing(), schedule_id, tick) if tick else Due()
    record = ScheduleRecord(schedule_id, owner, said, 1, due, now, now)
    await jobs.schedules.add(record, limit)
    return await jobs.schedules.get(mine(owner), schedule_id)


async def due_now(jobs: Jobs, **fields: Any) -> ScheduleRecord:
    return await add(jobs, tick=await minute(jobs), **fields)


async def come_round(jobs: Jobs, schedule: ScheduleRecord, tick: datetime) -> None:
    """Moves the schedule's next tick to `tick`."""
    record = await again(jobs, schedule)
    due = Due.on(record.definition.timing(), record.schedule_id, tick)
    assert await jobs.schedules.change(replace(record, due=due))


async def tend(jobs: Jobs) -> int:
    return await Tender(jobs.schedules).tend()


async def again(jobs: Jobs, schedule: ScheduleRecord) -> ScheduleRecord:
    return await jobs.schedules.get(mine(schedule.owner), schedule.schedule_id)


async def finish_next(jobs: Jobs) -> str:
    run = await jobs.take()
    await jobs.queue.commit(run, "1", keep=True)
    return run.record.job_id


async def test_a_tick_starts_the_template_as_the_schedules_owner(jobs: Jobs) -> None:
    schedule = await due_now(jobs)
    tick = schedule.due.tick
    assert tick
    assert await tend(jobs) == 1
    record = await jobs.record(job_of(schedule.schedule_id, tick))
    assert (record.owner, record.start, record.status) == (ANN, schedule.definition.job, JobStatus.QUEUED)
    assert record.as_job().schedule_id == schedule.schedule_id
    (first,) = await jobs.events(record.job_id)
    assert first.data["by"] == schedule.schedule_id

    fired = await again(jobs, schedule)
    assert (fired.last_tick, fired.started, fired.skipped) == (tick, 1, 0)
    assert fired.job_ids == (record.job_id,)
    assert fired.due.tick
    assert fired.due.tick > tick
    assert await finish_next(jobs) == record.job_id


async def test_nothing_is_started_before_its_moment_or_without_one(jobs: Jobs) -> None:
    later = await minute(jobs) + timedelta(hours=1)
    waits, paused = await add(jobs, tick=later), await add(jobs, enabled=False)
    assert await tend(jobs) == 0
    assert (await again(jobs, waits)).due == Due(later, later)
    assert (await again(jobs, paused)).due == Due()


async def test_tenders_at_once_give_a_tick_one_job(jobs: Jobs) -> None:
    schedules = [await due_now(jobs) for _ in range(5)]
    await asyncio.gather(*(tend(jobs) for _ in range(32)))
    assert [(await again(jobs, each)).started for each in schedules] == [1] * 5
    assert len((await jobs.page(mine(), limit=100, after=None)).jobs) == 5


async def test_tenders_with_connections_of_their_own_give_each_of_many_ticks_one_job(open_jobs: Open) -> None:
    """Thirty-two tenders race for the same due schedules; each read them before any of them fired."""
    async with AsyncExitStack() as opened:
        several = [await opened.enter_async_context(open_jobs(Bounds())) for _ in range(8)]
        jobs = several[0]
        newest = await minute(jobs)
        schedules = [
            await add(jobs, tick=newest - n * HOUR, catch_up=CatchUp.ALL, overlap=Overlap.QUEUE) for n in range(1, 9)
        ]
        mine_alone = several if (await several[1].schedules.due()).schedules else [jobs]
        tenders = [mine_alone[n % len(mine_alone)] for n in range(32)]
        seen = await asyncio.gather(*(each.schedules.due() for each in tenders))
        assert {len(batch.schedules) for batch in seen} == {8}

        async def fire(tender: Jobs, found: DueSchedule, now: datetime) -> int:
            return await tender.schedules.fire(found, plan(found, now))

        fired = await asyncio.gather(
            *(
                fire(tender, found, batch.now)
                for tender, batch in zip(tenders, seen, strict=True)
                for found in batch.schedules
            )
        )
        assert sorted(fired) == [-1] * (31 * 8) + [1] * 8
        for schedule in schedules:
            kept = await again(jobs, schedule)
            assert schedule.due.tick
            assert kept.last_tick == schedule.due.tick
            assert kept.job_ids == (job_of(schedule.schedule_id, schedule.due.tick),)
            assert [*kept.waiting] == [
                *islice(schedule.definition.timing().after(schedule.due.tick), len(kept.waiting))
            ]
            assert kept.waiting[-1] >= newest


async def test_a_tick_whose_job_exists_is_not_fired_again(jobs: Jobs) -> None:
    schedule = await due_now(jobs)
    await tend(jobs)
    await finish_next(jobs)
    assert schedule.due.tick
    await come_round(jobs, schedule, schedule.due.tick)
    assert await tend(jobs) in (0, 1)
    started = (await again(jobs, schedule)).job_ids
    assert started.count(job_of(schedule.schedule_id, schedule.due.tick)) == 1


async def test_ticks_that_nobody_tended_are_made_up_for_one_after_another(jobs: Jobs) -> None:
    first = await minute(jobs) - 3 * HOUR
    schedule = await add(jobs, tick=first, catch_up=CatchUp.ALL, overlap=Overlap.QUEUE)
    assert await tend(jobs) == 1
    waiting = (await again(jobs, schedule)).waiting
    assert waiting[:3] == (first + HOUR, first + 2 * HOUR, first + 3 * HOUR)
    finished = []
    for _ in range(4):
        finished.append(await finish_next(jobs))
        assert await jobs.nothing_queued()
        await tend(jobs)
    assert finished == [job_of(schedule.schedule_id, first + n * HOUR) for n in range(4)]


async def test_of_missed_ticks_one_or_none_is_made_up_for(jobs: Jobs) -> None:
    first = await minute(jobs) - timedelta(hours=5)
    cron = f"{first.minute} {first.hour} * * *"
    one = await add(jobs, tick=first - timedelta(days=2), catch_up=CatchUp.ONE, cron=cron)
    none = await add(jobs, tick=first - timedelta(days=2), catch_up=CatchUp.SKIP, cron=cron)
    assert await tend(jobs) == 1
    made_up, dropped = await again(jobs, one), await again(jobs, none)
    assert (made_up.started, dropped.started) == (1, 0)
    assert made_up.skipped == dropped.skipped - 1 > 0
    assert dropped.due.tick == made_up.due.tick


async def test_an_overlapping_tick_is_skipped(jobs: Jobs) -> None:
    first = await minute(jobs) - HOUR
    schedule = await add(jobs, tick=first, overlap=Overlap.SKIP)
    assert await tend(jobs) == 1
    await come_round(jobs, schedule, first + HOUR)
    started = (await again(jobs, schedule)).started
    assert await tend(jobs) == 0
    fired = await again(jobs, schedule)
    assert fired.started == started
    assert fired.skipped >= 1
    assert fired.waiting == ()


async def test_an_overlapping_tick_replaces_the_job_that_is_under_way(jobs: Jobs) -> None:
    first = await minute(jobs) - 5 * HOUR
    schedule = await add(jobs, tick=first, overlap=Overlap.REPLACE, catch_up=CatchUp.ONE)
    await tend(jobs)
    former = await jobs.take()
    await come_round(jobs, schedule, (await again(jobs, schedule)).due.tick or first)
    record = await again(jobs, schedule)
    after = (record.last_tick or first) + HOUR
    named = [(after, job_of(schedule.schedule_id, after))]
    (found,) = [await as_due(jobs, schedule)]
    fire = replace(plan(found, await jobs.schedules.now()), ticks=named, job=_job_of(schedule))
    assert await jobs.schedules.fire(found, fire) == 1
    cancelled = await jobs.record(former.record.job_id)
    assert cancelled.status is JobStatus.CANCELLED
    assert (await jobs.events(cancelled.job_id))[-1].data["reason"] == "replaced by the next tick"
    assert (await jobs.record(named[0][1])).status is JobStatus.QUEUED


async def as_due(jobs: Jobs, schedule: ScheduleRecord) -> DueSchedule:
    """As a tender would see it, were it due."""
    record = await again(jobs, schedule)
    text = record.definition.model_dump_json()
    return DueSchedule(record.schedule_id, record.owner, text, record.version, record.due.tick, record.waiting)


def _job_of(schedule: ScheduleRecord) -> NewJob:
    return NewJob("", schedule.owner, schedule.schedule_id, schedule.definition.job, schedule_id=schedule.schedule_id)


async def test_of_many_ticks_that_replace_each_other_only_the_last_is_started(jobs: Jobs) -> None:
    newest = await minute(jobs)
    schedule = await add(jobs, tick=newest - 3 * HOUR, overlap=Overlap.REPLACE, catch_up=CatchUp.ALL)
    assert await tend(jobs) == 1
    fired = await again(jobs, schedule)
    assert fired.last_tick
    assert fired.last_tick >= newest
    assert fired.skipped >= 3


@pytest.mark.parametrize("end", ["cancel", "finish"])
async def test_a_tick_that_waits_starts_as_soon_as_the_former_job_has_ended(jobs: Jobs, end: str) -> None:
    first = await minute(jobs) - HOUR
    schedule = await add(jobs, tick=first, overlap=Overlap.QUEUE, catch_up=CatchUp.ALL)
    assert await tend(jobs) == 1
    assert await tend(jobs) == 0
    former = job_of(schedule.schedule_id, first)
    if end == "cancel":
        await jobs.steer(former, Action.CANCEL)
    else:
        await finish_next(jobs)
    assert await tend(jobs) == 1
    assert (await again(jobs, schedule)).job_ids[0] == job_of(schedule.schedule_id, first + HOUR)


async def test_no_more_than_a_hundred_ticks_wait(jobs: Jobs) -> None:
    first = await minute(jobs) - 99 * HOUR
    schedule = await add(jobs, tick=first, overlap=Overlap.QUEUE, catch_up=CatchUp.ALL)
    await tend(jobs)
    found = await as_due(jobs, schedule)
    more = [first - n * HOUR for n in range(1, 20)]
    ticks = [(tick, job_of(schedule.schedule_id, tick)) for tick in (*found.waiting, *more)]
    fire = replace(plan(found, await jobs.schedules.now()), ticks=ticks, job=_job_of(schedule))
    assert await jobs.schedules.fire(found, fire) == 0
    kept = await again(jobs, schedule)
    assert len(kept.waiting) == MOST_WAITING
    assert kept.skipped == len(ticks) - MOST_WAITING


async def test_a_pause_forgets_what_waits_and_a_stale_change_is_refused(jobs: Jobs) -> None:
    schedule = await add(jobs, tick=await minute(jobs) - 3 * HOUR, overlap=Overlap.QUEUE, catch_up=CatchUp.ALL)
    await tend(jobs)
    assert not await jobs.schedules.change(schedule)
    fired = await again(jobs, schedule)
    paused = fired.definition.model_copy(update={"enabled": False})
    assert await jobs.schedules.change(fired.with_definition(paused, Due()))
    kept = await again(jobs, schedule)
    assert (kept.definition.enabled, kept.waiting, kept.due) == (False, (), Due())
    assert kept.skipped == len(fired.waiting) > 0
    await finish_next(jobs)
    assert await tend(jobs) == 0


async def test_a_change_keeps_a_tick_that_may_start_due(jobs: Jobs) -> None:
    schedule = await add(jobs, tick=await minute(jobs) - HOUR, overlap=Overlap.QUEUE, catch_up=CatchUp.ALL)
    await tend(jobs)
    await finish_next(jobs)
    record = await again(jobs, schedule)
    assert await jobs.schedules.change(record)
    assert await tend(jobs) == 1


async def test_a_job_is_run_now_once_per_key_and_counts_as_under_way(jobs: Jobs) -> None:
    schedule = await due_now(jobs)
    job = replace(_job_of(schedule), idempotency_key="k", fingerprint="f")
    first = await jobs.schedules.run(mine(), schedule.schedule_id, replace(job, job_id=new_id("job")))
    second = await jobs.schedules.run(mine(), schedule.schedule_id, replace(job, job_id=new_id("job")))
    assert (first.created, second.created, second.job_id) == (True, False, first.job_id)
    with pytest.raises(IdempotencyKeyReused):
        await jobs.schedules.run(mine(), schedule.schedule_id, replace(job, job_id=new_id("job"), fingerprint="g"))
    assert (await again(jobs, schedule)).job_ids == (first.job_id,)
    assert await tend(jobs) == 0
    assert (await again(jobs, schedule)).skipped == 1


async def test_a_schedule_remembers_its_newest_jobs(jobs: Jobs) -> None:
    schedule = await add(jobs)
    ids = []
    for _ in range(RECENT + 2):
        job = replace(_job_of(schedule), job_id=new_id("job"))
        ids.append((await jobs.schedules.run(mine(), schedule.schedule_id, job)).job_id)
    assert (await again(jobs, schedule)).job_ids == tuple(reversed(ids[-RECENT:]))


async def test_a_removed_schedule_fires_no_more_and_leaves_its_jobs(jobs: Jobs) -> None:
    schedule = await due_now(jobs)
    await tend(jobs)
    (job_id,) = (await again(jobs, schedule)).job_ids
    found = await as_due(jobs, schedule)
    await jobs.schedules.remove(mine(), schedule.schedule_id)
    with pytest.raises(ScheduleNotFound):
        await again(jobs, schedule)
    assert await jobs.schedules.fire(found, plan(found, await jobs.schedules.now())) == -1
    assert await jobs.status(job_id) is JobStatus.QUEUED
    await finish_next(jobs)
    assert await tend(jobs) == 0
    assert await jobs.schedules.page(Reach("acme", None), limit=10, after=None) == []


async def test_schedules_are_listed_newest_first_and_only_within_reach(jobs: Jobs) -> None:
    anns = [(await add(jobs)).schedule_id for _ in range(3)]
    bens = (await add(jobs, owner=BEN)).schedule_id
    await add(jobs, owner=STRANGER)

    async def found(reach: Reach, limit: int = 10, after: str | None = None) -> list[str]:
        return [each.schedule_id for each in await jobs.schedules.page(reach, limit=limit, after=after)]

    assert await found(mine()) == anns[::-1]
    assert await found(mine(), limit=1, after=anns[2]) == [anns[1]]
    assert await found(Reach("acme", None)) == [bens, *anns[::-1]]


@pytest.mark.parametrize("other", [BEN, STRANGER])
async def test_anothers_schedule_is_not_there(jobs: Jobs, other: Owner) -> None:
    schedule = await due_now(jobs)
    for call in (
        jobs.schedules.get(mine(other), schedule.schedule_id),
        jobs.schedules.remove(mine(other), schedule.schedule_id),
        jobs.schedules.run(mine(other), schedule.schedule_id, _job_of(schedule)),
    ):
        with pytest.raises(ScheduleNotFound):
            await call
    assert await tend(jobs) == 1


async def test_a_tenant_has_a_bounded_number_of_schedules(jobs: Jobs) -> None:
    await add(jobs, limit=2)
    await add(jobs, owner=BEN, limit=2)
    with pytest.raises(TooManySchedules):
        await add(jobs, limit=2)
    await add(jobs, owner=STRANGER, limit=2)


async def test_a_schedule_that_cannot_be_read_does_not_hold_up_the_others(jobs: Jobs) -> None:
    broken = await due_now(jobs)
    unreadable = broken.definition.model_copy(update={"timezone": "Mars/Olympus"})
    assert await jobs.schedules.change(broken.with_definition(unreadable, broken.due))
    good = await due_now(jobs)
    assert await tend(jobs) == 1
    assert (await again(jobs, good)).started == 1
    put_off = await again(jobs, broken)
    assert put_off.due.tick == broken.due.tick
    assert put_off.due.at
    assert put_off.due.at > await jobs.schedules.now()
