"""Workers die, stop and come back late; a job goes on, and no step is recorded twice."""

import asyncio

import pytest

from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import StepStatus
from services.jobs.states import Action
from services.jobs.store import Failure, FailureKind, LeaseLost
from tests.job_stores import AGAIN, AGENT, LEASE, ONCE, Jobs, mine, worker


async def test_a_lost_workers_job_goes_on_from_its_last_recorded_step(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    first = await jobs.take("dead")
    lost = await jobs.queue.commit(first, "1", keep=True)
    assert lost is not None
    await jobs.swept()
    run = await jobs.take("alive")
    assert (run.index, run.step.attempts, run.record.steps[0].result) == (1, 2, 1)

    with pytest.raises(LeaseLost):
        await jobs.queue.commit(lost, '"late"', keep=True)
    with pytest.raises(LeaseLost):
        await jobs.queue.fail(lost, Failure(FailureKind.FAILED, "late"))
    await jobs.queue.release(lost.message)
    await jobs.queue.commit(run, '"in time"', keep=True)
    record = await jobs.record(job_id)
    assert (record.status, record.steps[1].result) == (JobStatus.SUCCEEDED, "in time")


async def test_a_worker_that_is_heard_of_keeps_its_job(jobs: Jobs) -> None:
    await jobs.start(AGENT)
    run = await jobs.take()
    for _ in range(6):
        await asyncio.to_thread(jobs.pulse.beat, worker("w", run), [run.message])
        await asyncio.to_thread(lambda: None)
        assert await jobs.queue.sweep() == 0
        await jobs.queue.fetch(1, LEASE / 4)
    assert await jobs.queue.commit(run, "1", keep=True) is None


async def test_a_step_that_may_not_be_repeated_waits_for_a_human_when_its_worker_is_lost(jobs: Jobs) -> None:
    job_id = (await jobs.start(ONCE, AGAIN)).job_id
    await jobs.take()
    await jobs.swept()
    assert (await jobs.record(job_id)).status is JobStatus.WAITING_APPROVAL
    assert (await jobs.statuses(job_id))[0] is StepStatus.UNKNOWN_OUTCOME
    assert await jobs.nothing_queued()


async def test_a_pausing_job_is_paused_when_its_worker_is_lost(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    await jobs.take()
    await jobs.store.steer(mine(), job_id, Action.PAUSE, "ann")
    await jobs.swept()
    assert (await jobs.record(job_id)).status is JobStatus.PAUSED
    assert await jobs.nothing_queued()


async def test_a_pausing_step_of_unknown_outcome_waits_for_a_human_when_it_is_resumed(jobs: Jobs) -> None:
    job_id = (await jobs.start(ONCE)).job_id
    await jobs.take()
    await jobs.store.steer(mine(), job_id, Action.PAUSE, "ann")
    await jobs.swept()
    assert (await jobs.record(job_id)).status is JobStatus.PAUSED
    assert await jobs.store.steer(mine(), job_id, Action.RESUME, "ann") is JobStatus.WAITING_APPROVAL


async def test_a_job_that_kills_its_workers_fails(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    await jobs.take()
    await jobs.swept()
    await jobs.take()
    await jobs.swept()
    record = await jobs.record(job_id)
    assert (record.status, record.error) == (JobStatus.FAILED, "its worker was lost, 2 times in the same step")
    assert await jobs.nothing_queued()


async def test_a_message_that_died_with_its_worker_before_it_was_taken_comes_again(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    await jobs.message()
    await jobs.swept()
    run = await jobs.take()
    assert (run.record.job_id, run.step.attempts) == (job_id, 1)


async def test_a_worker_that_stops_hands_over(jobs: Jobs) -> None:
    await jobs.start(AGENT)
    stopping = await jobs.take()
    await jobs.queue.release(stopping.message)
    run = await jobs.take("other")
    assert run.step.attempts == 2
    with pytest.raises(LeaseLost):
        await jobs.queue.commit(stopping, "1", keep=True)


async def test_a_message_is_handed_over_before_it_is_taken(jobs: Jobs) -> None:
    await jobs.start(AGENT)
    await jobs.queue.release(await jobs.message())
    assert (await jobs.take()).step.attempts == 1


async def test_without_keep_the_rest_of_a_job_goes_to_the_queue(jobs: Jobs) -> None:
    await jobs.start(AGENT, AGAIN)
    assert await jobs.queue.commit(await jobs.take("stopping"), "1", keep=False) is None
    assert (await jobs.take("other")).index == 1


async def test_one_message_goes_to_one_worker(jobs: Jobs) -> None:
    for _ in range(6):
        await jobs.start(AGENT)
    batches = await asyncio.gather(*(jobs.queue.fetch(3, 0.1) for _ in range(4)))
    fetched = [message.job_id for batch in batches for message in batch]
    assert len(fetched) == len(set(fetched)) == 6


async def test_calls_whose_answer_got_lost_may_be_repeated(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    message = await jobs.message()
    run = await jobs.queue.take(message, "w")
    again = await jobs.queue.take(message, "w")
    assert run
    assert again
    assert again.step.attempts == run.step.attempts == 1
    assert await jobs.queue.take(message, "another") is None

    onward = await jobs.queue.commit(run, "1", keep=True)
    repeated = await jobs.queue.commit(run, "1", keep=True)
    assert onward
    assert repeated
    assert (onward.index, repeated.index, repeated.step.attempts) == (1, 1, 1)
    assert [event.status for event in await jobs.events(job_id) if event.type == "step.finished"] == ["passed"]
