"""What a job leaves behind when its time is over: in memory nothing can be looked up, in Redis there is no key."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bureau_contracts.jobs import JobStatus
from kit.redis import connect
from services.jobs.errors import JobNotFound
from services.jobs.limits import parse_limits
from services.jobs.states import Action
from services.jobs.step_map import children_of
from services.jobs.store import Bounds, Checkpoint, Failure, FailureKind
from tests.job_stores import AGAIN, AGENT, LEASE, LONG, Jobs, Open, open_redis
from tests.waiting import eventually

OF_NO_JOB = {"places", "turn", "recounted", "bell:default"}
"""What Redis keeps of all jobs together; and `fetched:…`, which goes by itself."""
LIMITS = parse_limits("kind:* concurrency=9 rate=1000/1; tenant:* concurrency=9")
BOUNDS = Bounds(lease_seconds=LEASE, retention_seconds=0, limits=LIMITS)


@pytest.fixture
async def kept(open_jobs: Open) -> AsyncIterator[Jobs]:
    async with open_jobs(BOUNDS) as jobs:
        yield jobs


async def live_and_die(jobs: Jobs) -> list[str]:
    """A job that has had everything, a few that ended otherwise, and a child that outlived its parent."""
    asks = {"name": "look", "kind": "breakpoint", "approval": {"approvers": ["carl"], "expires_seconds": 60}}
    each = {"name": "each", "kind": "map", "map": {"items": [1, 2], "steps": [AGENT], "parallel": 1}}
    whole = (await jobs.start(AGENT, asks, each, key="k", deadline_seconds=600)).job_id
    run = await jobs.take()
    await jobs.queue.checkpoint(run, Checkpoint("1", 0.5, "half"))
    await jobs.queue.commit(run, "1", keep=True, cost=1)
    await jobs.steer(whole, Action.PAUSE)
    await jobs.steer(whole, Action.RESUME)
    await jobs.decide(whole, 1, Action.APPROVE, administers=True)
    run = await jobs.take()
    over = run.step.definition.map
    assert over is not None
    await jobs.queue.fan_out(run, children_of(run.record, run.step.definition), parallel=1, partial=False)
    for _ in range(2):
        await jobs.finish()
    assert await jobs.status(whole) is JobStatus.SUCCEEDED

    cancelled = (await jobs.start(AGENT, start_at=datetime.now(UTC) + timedelta(hours=1))).job_id
    await jobs.steer(cancelled, Action.CANCEL)
    failed = (await jobs.start(AGAIN, webhook_url="http://hook.test")).job_id
    await jobs.queue.fail(await jobs.take(), Failure(FailureKind.FAILED, "broken"))
    parent = (await jobs.start(LONG)).job_id
    child = (await jobs.start(AGENT, parent_id=parent)).job_id
    await jobs.steer(parent, Action.CANCEL)
    assert await jobs.status(child) is JobStatus.CANCELLED
    await jobs.steer(child, Action.RETRY)
    return [whole, f"{whole}-2-0", f"{whole}-2-1", cancelled, failed, parent, child]


async def expire(jobs: Jobs, count: int) -> None:
    gone = 0

    async def all_gone() -> bool:
        nonlocal gone
        gone += await jobs.queue.expire()
        return gone >= count

    await eventually(all_gone)
    assert gone == count


async def test_an_expired_job_and_its_children_are_gone(kept: Jobs) -> None:
    *gone, child = await live_and_die(kept)
    await expire(kept, len(gone))
    for job_id in gone:
        with pytest.raises(JobNotFound):
            await kept.record(job_id)
    assert await kept.status(child) is JobStatus.QUEUED
    assert await kept.finish() == child
    await expire(kept, 1)
    assert (await kept.page()).jobs == []
    assert (await kept.start(AGENT, key="k")).created


async def test_redis_has_no_key_of_an_expired_job(redis_url: str) -> None:
    async with open_redis(BOUNDS, redis_url) as jobs, connect(redis_url) as redis:
        gone = await live_and_die(jobs)
        await jobs.finish()
        await expire(jobs, len(gone))

        async def left() -> set[str]:
            keys = {str(key).split("}:", 1)[1] for key in await redis.keys("*")}
            return {key for key in keys if not key.startswith(("fetched:", "rate:"))} - OF_NO_JOB

        assert await left() == set()

        async def rates_are_gone() -> bool:
            return not [key for key in await redis.keys("*") if ":rate:" in str(key)]

        await eventually(rates_are_gone)
