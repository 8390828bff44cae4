"""The port of webhooks on a real Valkey: one at a time has each, and whoever is lost does not lose it."""

from kit.redis import connect
from services.jobs.calls_redis import Calls
from services.jobs.states import Action
from services.jobs.store import Bounds
from services.jobs.webhook_store import Outcome
from services.jobs.webhooks_redis import RedisWebhooks
from tests.job_stores import Jobs, mine
from tests.waiting import eventually

WAIT = {"name": "nap", "kind": "wait", "seconds": 3600}
LEASE = 0.3


async def cancelled(jobs: Jobs) -> str:
    job_id = (await jobs.start(WAIT, webhook_url="https://example.com/ended")).job_id
    await jobs.store.steer(mine(), job_id, Action.CANCEL, "ann")
    return job_id


async def test_a_webhook_is_given_to_one_until_its_lease_has_run_out(jobs: Jobs, redis_url: str) -> None:
    async with (
        connect(redis_url) as redis,
        Calls(redis, Bounds()).open() as one,
        Calls(redis, Bounds()).open() as other,
    ):
        first, second = RedisWebhooks(one), RedisWebhooks(other)
        job_id = await cancelled(jobs)
        (mine_now,) = await first.due(LEASE)
        assert (mine_now.record.job_id, mine_now.attempts) == (job_id, 1)
        assert await second.due(LEASE) == []
        found = []

        async def again() -> bool:
            found.extend(await second.due(LEASE))
            return bool(found)

        await eventually(again)
        assert [(each.record.job_id, each.attempts) for each in found] == [(job_id, 2)]


async def test_what_was_settled_is_not_due_again_and_a_retry_is_later(jobs: Jobs, redis_url: str) -> None:
    async with connect(redis_url) as redis, Calls(redis, Bounds()).open() as call:
        webhooks = RedisWebhooks(call)
        await cancelled(jobs)
        await cancelled(jobs)
        one, other = await webhooks.due(60)
        await webhooks.settle(one, Outcome.DELIVERED, "answered 200")
        await webhooks.settle(other, Outcome.RETRY, "answered 500", delay_seconds=0)
        (again,) = await webhooks.due(60)
        assert again.record.job_id == other.record.job_id


async def test_a_job_that_was_retried_meanwhile_is_not_settled_by_the_old_run(jobs: Jobs, redis_url: str) -> None:
    async with connect(redis_url) as redis, Calls(redis, Bounds()).open() as call:
        webhooks = RedisWebhooks(call)
        job_id = await cancelled(jobs)
        (old,) = await webhooks.due(60)
        await jobs.store.steer(mine(), job_id, Action.RETRY, "ann")
        assert await webhooks.due(60) == []
        await jobs.store.steer(mine(), job_id, Action.CANCEL, "ann")
        await webhooks.settle(old, Outcome.DELIVERED, "answered 200")
        (new,) = await webhooks.due(60)
        assert (new.record.attempt, new.attempts) == (2, 1)
