"""Schedules while clocks change, with two replicas of the API and four workers, some of which are killed just then.

The zones are the test's own: their clocks change a few seconds after it has begun.
"""

import asyncio
import itertools
import os
import time
import zoneinfo
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random, SystemRandom

import pytest

from bureau.http import Caller
from bureau.jobs import JobsClient
from bureau_contracts.jobs import Job, JobStatus
from bureau_contracts.schedules import NewSchedule, Schedule
from tests.chaos.jobs_doers import persist, read_all, say
from tests.chaos.jobs_killer import kill_now_and_then
from tests.chaos.jobs_processes import JobsStack, jobs_stack
from tests.chaos.zone_file import offset_that_makes, write_zone
from tests.waiting import eventually

HOUR, MINUTE = 3600, 60
ZONES = {
    # What the clock shows when it changes, and by how much it is put forward.
    "Spring": (2 * HOUR, HOUR),
    "Autumn": (3 * HOUR, -HOUR),
    "ShortSpring": (2 * HOUR, 2 * MINUTE),
    "ShortAutumn": (2 * HOUR + 2 * MINUTE, -2 * MINUTE),
}
# By zone and expression: the minutes around the change, of -1, 0 and 1, at which it fires. Reckoned by hand from the
# table in services/jobs/README.md.
TICKS: Mapping[str, Mapping[str, set[int]]] = {
    "Spring": {  # 01:59 03:00 03:01
        "* * * * *": {-1, 0, 1},
        "0-59 * * * *": {-1, 0, 1},
        "0-59 1-3 * * *": {-1, 0, 1},
        "0 * * * *": {0},
        "30 * * * *": set(),
        "59 1 * * *": {-1},
        "0 2 * * *": {0},
        "30 2 * * *": {0},
        "0 3 * * *": {0},
        "1 3 * * *": {1},
    },
    "Autumn": {  # 02:59 02:00 02:01
        "* * * * *": {-1, 0, 1},
        "0-59 2 * * *": {-1},
        "0 * * * *": {0},
        "1 * * * *": {1},
        "59 * * * *": {-1},
        "59 2 * * *": {-1},
        "0 2 * * *": set(),
        "1 2 * * *": set(),
        "0 3 * * *": set(),
    },
    "ShortSpring": {"* * * * *": {-1, 0, 1}, "1 2 * * *": {0}, "2 2 * * *": {0}, "3 2 * * *": {1}},  # 01:59 02:02
    "ShortAutumn": {"* * * * *": {-1, 0, 1}, "1 2 * * *": {-1}, "0 2 * * *": set()},  # 02:01 02:00 02:01
}
TWINS = 2
"""Schedules of each, so that more is due at once."""
ATTEMPTS = 3
LATEST_SECONDS = 15
"""After its moment, when something was killed just then."""


@pytest.mark.parametrize(
    ("lead", "minutes", "pauses"),
    [(8, {0}, (0.5, 1.5)), pytest.param(68, {-1, 0, 1}, (2, 6), marks=pytest.mark.chaos)],
    ids=["one tick", "three minutes"],
)
async def test_each_tick_has_one_job_while_clocks_change_and_workers_are_killed(
    tmp_path: Path, lead: int, minutes: set[int], pauses: tuple[float, float]
) -> None:
    path = os.pathsep.join([str(tmp_path / "zones"), *zoneinfo.TZPATH])
    async with jobs_stack(tmp_path, PYTHONTZPATH=path) as stack, stack.client() as http:
        plans = [Plan(JobsClient(Caller(http)), tmp_path / "zones", number) for number in range(ATTEMPTS)]
        for plan in plans:
            plan.write_zones(0, 0)  # a process looks only once which zones there are
        plan = await first_in_time(plans, stack, lead, minutes)
        await kill_until(plan, stack, pauses)
        await check(plan, minutes)


class Plan:
    """Schedules in zones of their own."""

    def __init__(self, jobs: JobsClient, folder: Path, number: int) -> None:
        self.jobs, self._folder, self._prefix = jobs, folder, f"Test/{number}"
        self.change = 0
        """When the clocks change; seconds since 1970."""
        self.schedules: dict[str, tuple[Schedule, set[int]]] = {}
        """With the minutes at which each fires."""

    def write_zones(self, change: int, end: int) -> None:
        """At `end` it is midnight in one more zone."""
        self.change = change
        for name, (clock, forward) in ZONES.items():
            before = offset_that_makes(change, clock)
            write_zone(self._folder / self._prefix / name, change, before, before + forward)
        write_zone(self._folder / self._prefix / "End", end, offset_that_makes(end, 0), offset_that_makes(end, 0))

    async def add(self, target: str) -> None:
        wanted = [(zone, cron) for zone, crons in TICKS.items() for cron in crons for _ in range(TWINS)]
        for (zone, cron), schedule in zip(
            wanted, await asyncio.gather(*(self._add(target, *each) for each in wanted)), strict=True
        ):
            self.schedules[schedule.schedule_id] = (schedule, TICKS[zone][cron])
        self.last = await self._add(target, "End", "0 0 * * *")

    async def _add(self, target: str, zone: str, cron: str) -> Schedule:
        read = {"name": "read", "kind": "http", "request": {"url": f"{target}/get/tick"}}
        job = {"title": f"{cron} in {zone}", "steps": [read]}
        new = {"title": job["title"], "cron": cron, "timezone": f"{self._prefix}/{zone}", "job": job}
        return await self.jobs.schedules.add(NewSchedule.model_validate(new))


async def first_in_time(plans: list[Plan], stack: JobsStack, lead: int, minutes: set[int]) -> Plan:
    """The first that stood before anything of it was due; each has more time for that."""
    for number, plan in enumerate(plans, 1):
        change = int(time.time()) + lead * number
        plan.write_zones(change, change + max(minutes) * MINUTE + 2)
        await plan.add(stack.target)
        if time.time() < change + min(minutes) * MINUTE - 1:
            return plan
        say("too slow: once more")
    raise AssertionError("the machine is too slow for this test")


async def kill_until(plan: Plan, stack: JobsStack, pauses: tuple[float, float]) -> None:
    """Until the last schedule has fired: then everybody has looked at what was due before it."""
    seed = SystemRandom().randrange(2**32)
    say(f"seed {seed}")
    over = asyncio.Event()

    async def fired() -> bool:
        return (await persist(partial(plan.jobs.schedules.get, plan.last.schedule_id))).started == 1

    async with asyncio.TaskGroup() as group:
        group.create_task(kill_now_and_then(stack, plan.jobs, Random(seed), lambda: not over.is_set(), pauses))
        await eventually(fired, seconds=5 * MINUTE)
        over.set()
    await stack.ready()


async def check(plan: Plan, minutes: set[int]) -> None:
    jobs, late = plan.jobs, 0.0
    by_schedule = {schedule_id: list[Job]() for schedule_id in plan.schedules}
    for job in await read_all(jobs):
        if job.schedule_id in by_schedule:
            by_schedule[job.schedule_id].append(job)
    for schedule_id, (schedule, ticks_at) in plan.schedules.items():
        ticks = [plan.change + minute * MINUTE for minute in sorted(ticks_at & minutes)]
        made = sorted(job.created_at.timestamp() for job in by_schedule[schedule_id])
        assert len(made) == len(ticks), (schedule.title, ticks, made)
        for tick, at in zip(ticks, made, strict=True):
            assert tick <= at < tick + LATEST_SECONDS, (schedule.title, tick, at)
            late = max(late, at - tick)
        now = await jobs.schedules.get(schedule_id)
        assert (now.started, now.skipped) == (len(ticks), 0), now
        assert now.last_tick == (datetime.fromtimestamp(ticks[-1], UTC) if ticks else None)
    say(f"{sum(map(len, by_schedule.values()))} jobs of {len(by_schedule)} schedules, at most {late:.1f} s late")
    for job in itertools.chain(*by_schedule.values()):
        await eventually(partial(has_passed, jobs, job.job_id), seconds=30)


async def has_passed(jobs: JobsClient, job_id: str) -> bool:
    return (await jobs.get(job_id)).status is JobStatus.SUCCEEDED
