"""Workers die, stop and come back late; a job goes on, and no step is recorded twice."""

import asyncio

import pytest

from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import StepStatus
from services.jobs.states import Action
from services.jobs.store import Failure, FailureKind, LeaseLost
from tests.job_stores import AGAIN, AGENT, LEASE, ONCE, Jobs, worker


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
    await jobs.queue.release(lost.claim, begun=True)
    await jobs.queue.commit(run, '"in time"', keep=True)
    record = await jobs.record(job_id)
    assert (record.status, record.steps[1].result) == (JobStatus.SUCCEEDED, "in time")


async def test_a_worker_that_is_heard_of_keeps_its_job(jobs: Jobs) -> None:
    await jobs.start(AGENT)
    run = await jobs.take()
    for _ in range(6):
        await asyncio.to_thread(jobs.pulse.beat, worker("w", run), [run.claim])
        await asyncio.to_thread(lambda: None)
        assert await jobs.queue.sweep() == 0
        await jobs.fetch(1, LEASE / 4)
    assert await jobs.queue.commit(run, "1", keep=True) is None


async def test_a_step_that_may_not_be_repeated_waits_for_a_human_when_its_worker_is_lost(jobs: Jobs) -> None:
    job_id = (await jobs.start(ONCE, AGAIN)).job_id
    await jobs.take()
    await jobs.swept()
    assert await jobs.status(job_id) is JobStatus.WAITING_APPROVAL
    assert (await jobs.statuses(job_id))[0] is StepStatus.UNKNOWN_OUTCOME
    assert await jobs.nothing_queued()


async def test_a_pausing_job_is_paused_when_its_worker_is_lost(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    await jobs.take()
    await jobs.steer(job_id, Action.PAUSE)
    await jobs.swept()
    assert await jobs.status(job_id) is JobStatus.PAUSED
    assert await jobs.nothing_queued()


async def test_a_pausing_step_of_unknown_outcome_waits_for_a_human_when_it_is_resumed(jobs: Jobs) -> None:
    job_id = (await jobs.start(ONCE)).job_id
    await jobs.take()
    await jobs.steer(job_id, Action.PAUSE)
    await jobs.swept()
    assert await jobs.status(job_id) is JobStatus.PAUSED
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.WAITING_APPROVAL


async def test_a_job_that_kills_its_workers_fails(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    await jobs.take()
    await jobs.swept()
    await jobs.take()
    await jobs.swept()
    record = await jobs.record(job_id)
    assert (record.status, record.error) == (JobStatus.FAILED, "its worker was lost, 2 times in the same step")
    assert await jobs.nothing_queued()


async def test_a_worker_that_stops_hands_over(jobs: Jobs) -> None:
    await jobs.start(AGENT)
    stopping = await jobs.take()
    await jobs.queue.release(stopping.claim, begun=True)
    run = await jobs.take("other")
    assert run.step.attempts == 2
    with pytest.raises(LeaseLost):
        await jobs.queue.commit(stopping, "1", keep=True)


async def test_a_job_is_handed_over_before_its_step_was_begun(jobs: Jobs) -> None:
    job_id = (await jobs.start(ONCE)).job_id
    await jobs.queue.release((await jobs.take()).claim, begun=False)
    assert await jobs.statuses(job_id) == [StepStatus.PENDING]
    assert (await jobs.take()).step.attempts == 1


async def test_a_step_that_was_begun_and_may_not_be_repeated_is_handed_to_a_human(jobs: Jobs) -> None:
    job_id = (await jobs.start(ONCE)).job_id
    await jobs.queue.release((await jobs.take()).claim, begun=True)
    assert await jobs.status(job_id) is JobStatus.WAITING_APPROVAL
    assert await jobs.statuses(job_id) == [StepStatus.UNKNOWN_OUTCOME]


async def test_without_keep_the_rest_of_a_job_goes_to_the_queue(jobs: Jobs) -> None:
    await jobs.start(AGENT, AGAIN)
    assert await jobs.queue.commit(await jobs.take("stopping"), "1", keep=False) is None
    assert (await jobs.take("other")).index == 1


async def test_one_job_goes_to_one_worker(jobs: Jobs) -> None:
    for _ in range(6):
        await jobs.start(AGENT)
    batches = await asyncio.gather(*(jobs.fetch(3, 0.1, f"w{number}") for number in range(4)))
    fetched = [run.record.job_id for batch in batches for run in batch]
    assert len(fetched) == len(set(fetched)) == 6


async def test_calls_whose_answer_got_lost_may_be_repeated(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    (run,) = await jobs.queue.fetch("w", 7, 1, 0)
    (again,) = await jobs.queue.fetch("w", 7, 1, 0)
    assert again.claim == run.claim
    assert again.step.attempts == run.step.attempts == 1
    assert await jobs.queue.fetch("another", 7, 1, 0) == []

    onward = await jobs.queue.commit(run, "1", keep=True)
    repeated = await jobs.queue.commit(run, "1", keep=True)
    assert onward
    assert repeated
    assert (onward.index, repeated.index, repeated.step.attempts) == (1, 1, 1)
    assert [event.status for event in await jobs.events(job_id) if event.type == "step.finished"] == ["passed"]


async def test_a_repeated_fetch_gives_what_is_still_the_workers_and_nothing_new(jobs: Jobs) -> None:
    lost, held, later = [(await jobs.start(AGENT)).job_id for _ in range(3)]
    assert len(await jobs.queue.fetch("w", 7, 2, 0)) == 2
    await jobs.steer(lost, Action.CANCEL)
    again = await jobs.queue.fetch("w", 7, 3, 0)
    assert [run.record.job_id for run in again] == [held]
    (new,) = await jobs.queue.fetch("w", 8, 3, 0)
    assert new.record.job_id == later


async def test_a_job_that_was_lost_meanwhile_is_not_given_again_by_an_old_number(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    await jobs.queue.fetch("slow", 7, 1, 0)
    await jobs.swept()
    assert await jobs.queue.fetch("slow", 7, 1, 0) == [], "it stands in its line again, for a new call"
    (run,) = await jobs.queue.fetch("quick", 1, 1, 0)
    assert run.record.job_id == job_id
    assert await jobs.queue.fetch("slow", 7, 1, 0) == []
