"""Webhooks: one at a time has each, and whoever is lost does not lose it."""

from bureau_contracts.events import EventType
from services.jobs.states import Action
from services.jobs.webhook_store import Outcome, Webhook
from tests.job_stores import AGAIN, AGENT, LONG, Jobs, mine
from tests.waiting import eventually

LEASE = 0.3


async def cancelled(jobs: Jobs) -> str:
    job_id = (await jobs.start(LONG, webhook_url="https://example.com/ended")).job_id
    await jobs.store.steer(mine(), job_id, Action.CANCEL, "ann")
    return job_id


async def test_a_webhook_is_given_to_one_until_its_lease_has_run_out(jobs: Jobs) -> None:
    job_id = await cancelled(jobs)
    (first,) = await jobs.webhooks.due(LEASE)
    assert (first.record.job_id, first.attempts) == (job_id, 1)
    assert await jobs.webhooks.due(LEASE) == []
    found: list[Webhook] = []

    async def again() -> bool:
        found.extend(await jobs.webhooks.due(LEASE))
        return bool(found)

    await eventually(again)
    assert [(each.record.job_id, each.attempts) for each in found] == [(job_id, 2)]


async def test_a_job_that_has_not_ended_or_names_nobody_is_not_told_of(jobs: Jobs) -> None:
    await jobs.start(LONG, webhook_url="https://example.com/ended")
    unnamed = (await jobs.start(LONG)).job_id
    await jobs.store.steer(mine(), unnamed, Action.CANCEL, "ann")
    assert await jobs.webhooks.due(LEASE) == []


async def test_what_was_settled_is_not_due_again_and_a_retry_is(jobs: Jobs) -> None:
    await cancelled(jobs)
    await cancelled(jobs)
    one, other = await jobs.webhooks.due(60)
    await jobs.webhooks.settle(one, Outcome.DELIVERED, "answered 200")
    await jobs.webhooks.settle(other, Outcome.RETRY, "answered 500", delay_seconds=0)
    (again,) = await jobs.webhooks.due(60)
    assert again.record.job_id == other.record.job_id
    told = [event for event in await jobs.events(other.record.job_id) if event.type is EventType.WEBHOOK]
    assert [(event.status, event.data) for event in told] == [("retry", {"attempt": 1, "note": "answered 500"})]


async def test_a_retry_waits_for_its_time(jobs: Jobs) -> None:
    await cancelled(jobs)
    (webhook,) = await jobs.webhooks.due(0.001)
    await jobs.webhooks.settle(webhook, Outcome.RETRY, "answered 500", delay_seconds=60)
    assert await jobs.webhooks.due(60) == []


async def test_a_job_that_was_retried_meanwhile_is_not_settled_by_the_old_run(jobs: Jobs) -> None:
    job_id = await cancelled(jobs)
    (old,) = await jobs.webhooks.due(60)
    await jobs.store.steer(mine(), job_id, Action.RETRY, "ann")
    assert await jobs.webhooks.due(60) == []
    await jobs.store.steer(mine(), job_id, Action.CANCEL, "ann")
    await jobs.webhooks.settle(old, Outcome.DELIVERED, "answered 200")
    (new,) = await jobs.webhooks.due(60)
    assert (new.record.attempt, new.attempts) == (2, 1)


async def test_of_all_results_only_the_last_is_fetched(jobs: Jobs) -> None:
    """A job may have two hundred long ones, and a batch many jobs."""
    job_id = (await jobs.start(AGENT, AGAIN, webhook_url="https://example.com/ended")).job_id
    onward = await jobs.queue.commit(await jobs.take(), '"first"', keep=True)
    assert onward is not None
    await jobs.queue.commit(onward, '"last"', keep=True)
    (webhook,) = await jobs.webhooks.due(LEASE)
    assert (webhook.record.job_id, webhook.record.as_job().result) == (job_id, "last")
    assert [step.result for step in webhook.record.steps] == [None, "last"]
