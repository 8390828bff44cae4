"""Limits and turns of queues, with two replicas of the API and four workers, some of which are killed meanwhile.

What runs at once, the target has counted; the order is that of the moments at which workers first had the jobs.
"""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from random import Random, SystemRandom

import pytest

from bureau.errors import TooMany
from bureau.http import Caller
from bureau.jobs import JobsClient
from bureau_contracts.jobs import Job, JobsStarted, JobStarted, JobStatus, QueueList, StartJob, StartJobs
from kit.identity import Principal
from tests.chaos.jobs_doers import read_all, say
from tests.chaos.jobs_processes import JobsStack, jobs_stack
from tests.chaos.jobs_target import Asked
from tests.waiting import eventually

QUEUES = "default,mail,slow"
RATE, PER_SECONDS = 10, 2
LIMITS = (
    "queue:default concurrency=6; queue:mail concurrency=3; kind:import concurrency=2; tenant:initech concurrency=2; "
    f"queue:slow rate={RATE}/{PER_SECONDS}"
)
AT_ONCE = {("queue", "default"): 6, ("queue", "mail"): 3, ("kind", "import"): 2, ("tenant", "initech"): 2}
WORKERS_HANDS = 16
FEW = 20
"""Jobs of the tenant that comes later."""


@pytest.mark.parametrize(
    ("many", "kills", "pauses"), [(120, 2, (0.5, 2)), pytest.param(1000, 10, (1, 4), marks=pytest.mark.chaos)]
)
async def test_limits_and_turns_hold_while_workers_are_killed(
    tmp_path: Path, many: int, kills: int, pauses: tuple[float, float]
) -> None:
    seed = SystemRandom().randrange(2**32)
    chance = Random(seed)
    say(f"seed {seed}")
    async with AsyncExitStack() as opened:
        stack = await opened.enter_async_context(
            jobs_stack(tmp_path, seed=seed, delays=(0.05, 0.25), queues=QUEUES, limits=LIMITS)
        )
        acme, globex, initech = [
            Caller(await opened.enter_async_context(stack.client(Principal(tenant, "ann"))))
            for tenant in ("acme", "globex", "initech")
        ]
        crowd = [
            *(plan(stack, chance, "acme") for _ in range(many)),
            *(plan(stack, chance, "acme", queue="mail") for _ in range(many // 10)),
            *(plan(stack, chance, "acme", kind="import", queue=chance.choice(["default", "mail"])) for _ in range(20)),
            *(plan(stack, chance, "acme", queue="slow") for _ in range(30)),
        ]
        await start(acme, crowd)
        await start(initech, [plan(stack, chance, "initech") for _ in range(20)])
        came = (await start(globex, [plan(stack, chance, "globex") for _ in range(FEW)]))[0]

        for _ in range(kills):
            await asyncio.sleep(chance.uniform(*pauses))
            await stack.kill(chance.choice(stack.workers), chance.uniform(0, 1))
        jobs = {}
        for name, caller in (("acme", acme), ("globex", globex), ("initech", initech)):
            jobs[name] = await ended(JobsClient(caller), seconds=60 + many / 10)
        check_at_once(await stack.asked())
        check_rate(job for job in jobs["acme"] if job.queue == "slow")
        check_priorities([job for job in jobs["acme"] if job.queue == "default" and job.kind == "runbook"])
        check_turns(jobs["acme"], jobs["globex"], came)


def plan(stack: JobsStack, chance: Random, tenant: str, queue: str = "default", kind: str = "runbook") -> StartJob:
    read = {"name": "read", "kind": "http", "request": {"url": f"{stack.target}/get/{tenant}/{queue}/{kind}"}}
    job = {"title": "t", "kind": kind, "queue": queue, "priority": chance.randrange(10), "steps": [read]}
    return StartJob.model_validate(job)


async def start(caller: Caller, jobs: list[StartJob]) -> list[float]:
    """A hundred at a time; when each hundred was acknowledged."""
    acknowledged = []
    for first in range(0, len(jobs), 100):
        batch = StartJobs(jobs=jobs[first : first + 100])
        started = await caller.call(JobsStarted, "POST", "/jobs/batch", body=batch)
        assert len({job.job_id for job in started.jobs}) == len(batch.jobs)
        acknowledged.append(time.time())
    return acknowledged


async def ended(jobs: JobsClient, seconds: float) -> list[Job]:
    async def none_left() -> bool:
        return not [
            status
            for status in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SCHEDULED)
            if (await jobs.page(status=status, limit=1)).jobs
        ]

    await eventually(none_left, seconds=seconds)
    found = await read_all(jobs)
    assert {job.status for job in found} == {JobStatus.SUCCEEDED}
    return found


def check_at_once(asked: list[Asked]) -> None:
    for (scope, name), most in AT_ONCE.items():
        place = ["tenant", "queue", "kind"].index(scope) + 2
        reached = at_once(each for each in asked if each.path.split("/")[place] == name)
        say(f"{scope} {name}: {reached} at once, of {most}")
        assert reached == most, "also less would be wrong: there was enough to do"


def at_once(asked: Iterable[Asked]) -> int:
    """Requests under way at the same moment, at most."""
    steps = []
    for each in asked:
        assert each.until is not None
        steps += [(each.at, 1), (each.until, -1)]
    count = most = 0
    for _, step in sorted(steps):
        count += step
        most = max(most, count)
    return most


def check_rate(jobs: Iterable[Job]) -> None:
    """After a rest RATE begin at once, then one for each that has been waited for."""
    begun = sorted(began(job) for job in jobs)
    for first, since in enumerate(begun):
        for last in range(first, len(begun)):
            allowed = RATE + (begun[last] - since) * RATE / PER_SECONDS
            assert last - first + 1 <= allowed + 0.1, (begun, first, last)
    took = begun[-1] - begun[0]
    say(f"{len(begun)} began within {took:.1f} s at {RATE}/{PER_SECONDS}")
    assert took < 2 * PER_SECONDS * len(begun) / RATE + 10


def check_priorities(jobs: list[Job]) -> None:
    """Nobody begins while one that is more urgent waits."""
    for job in jobs:
        passed_over = [
            other
            for other in jobs
            if other.priority > job.priority and other.created_at < began_at(job) < began_at(other)
        ]
        assert not passed_over, (job, passed_over)


def check_turns(crowd: list[Job], few: list[Job], came: float) -> None:
    """Who comes late with little does not wait until the crowd is done."""
    last = max(began(job) for job in few)
    meanwhile = [job for job in crowd if job.queue == "default" and came < began(job) < last]
    after = [job for job in crowd if job.queue == "default" and began(job) > last]
    say(f"{len(few)} of the one tenant among {len(meanwhile)} of the other, {len(after)} of which came after them")
    assert len(meanwhile) <= 2 * len(few) + WORKERS_HANDS
    assert after


def began(job: Job) -> float:
    return began_at(job).timestamp()


def began_at(job: Job) -> datetime:
    assert job.started_at is not None
    return job.started_at


async def test_two_replicas_together_let_no_queue_grow_over_its_depth(tmp_path: Path) -> None:
    depth, callers = 5, 40
    limits = f"queue:default concurrency=1 depth={depth}"
    async with jobs_stack(tmp_path, delays=(0.05, 0.1), limits=limits) as stack, stack.client() as http:
        caller = Caller(http, attempts=1)
        jobs, accepted, refused = JobsClient(caller), list[JobStarted](), list[TooMany]()

        async def knock(number: int) -> None:
            try:
                accepted.append(await jobs.start(plan(stack, Random(number), "acme")))
            except TooMany as error:
                refused.append(error)

        async def watch() -> None:
            while len(accepted) + len(refused) < callers:
                (queue,) = (await caller.call(QueueList, "GET", "/jobs/queues")).queues
                assert queue.yours.waiting <= depth
                assert queue.yours.running <= 1

        await asyncio.gather(watch(), *(knock(number) for number in range(callers)))
        assert len(accepted) >= depth
        assert len(refused) >= callers / 4
        assert {error.status for error in refused} == {429}
        assert all(error.retry_after for error in refused)
        assert {job.job_id for job in await ended(jobs, seconds=30)} == {job.job_id for job in accepted}
        assert at_once(await stack.asked()) == 1
