"""Timers, attempts that fail, and what is kept for how long."""

import asyncio

import pytest

from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import StepStatus
from kit.identity import Reach
from services.jobs.errors import JobNotFound
from services.jobs.states import Action
from services.jobs.store import Bounds, Failure, FailureKind
from tests.job_stores import AGAIN, AGENT, ANN, LEASE, LONG, NAP, ONCE, Jobs, Open, worker
from tests.waiting import eventually


async def test_a_timer_holds_no_worker_and_goes_on_by_itself(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, NAP, AGAIN)).job_id
    assert await jobs.queue.commit(await jobs.take(), "1", keep=True) is None
    assert await jobs.status(job_id) is JobStatus.SCHEDULED
    assert await jobs.nothing_queued()
    await jobs.woken()
    assert (await jobs.take()).index == 2
    assert await jobs.statuses(job_id) == [StepStatus.PASSED, StepStatus.PASSED, StepStatus.IN_PROGRESS]


async def test_a_timer_of_an_hour_does_not_wake_now(jobs: Jobs) -> None:
    await jobs.start(LONG)
    assert await jobs.queue.wake() == 0


async def test_an_attempt_that_failed_is_made_again_after_its_pause(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    await jobs.queue.fail(await jobs.take(), Failure(FailureKind.RETRY, "busy", delay_seconds=0.02))
    record = await jobs.record(job_id)
    assert (record.status, record.steps[0].error) == (JobStatus.SCHEDULED, "busy")
    assert await jobs.nothing_queued()
    await jobs.woken()
    run = await jobs.take()
    assert run.step.attempts == 2
    await jobs.queue.commit(run, "1", keep=True)
    assert (await jobs.record(job_id)).steps[0].error is None
    (retry,) = [event for event in await jobs.events(job_id) if event.type == "step.retry"]
    assert retry.data == {"index": 0, "step": "ask", "error": "busy", "delay_ms": 20}


async def test_a_failed_step_fails_the_job_and_a_retry_keeps_what_passed(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    second = await jobs.queue.commit(await jobs.take(), "1", keep=True)
    assert second is not None
    await jobs.queue.fail(second, Failure(FailureKind.FAILED, "broken ü"))
    record = await jobs.record(job_id)
    assert (record.status, record.error, record.attempt) == (JobStatus.FAILED, "broken ü", 1)
    assert [step.error for step in record.steps] == [None, "broken ü"]

    assert await jobs.steer(job_id, Action.RETRY) is JobStatus.QUEUED
    record = await jobs.record(job_id)
    assert (record.error, record.attempt) == (None, 2)
    run = await jobs.take()
    assert (run.index, run.step.attempts, run.record.steps[0].result) == (1, 1, 1)
    await jobs.queue.commit(run, "2", keep=True)
    assert await jobs.status(job_id) is JobStatus.SUCCEEDED


async def test_a_failure_while_pausing_leaves_the_job_paused_and_its_retry_due(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    run = await jobs.take()
    await jobs.steer(job_id, Action.PAUSE)
    await jobs.queue.fail(run, Failure(FailureKind.RETRY, "busy", delay_seconds=3600))
    assert await jobs.status(job_id) is JobStatus.PAUSED
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.SCHEDULED


async def test_an_unknown_outcome_waits_for_a_human(jobs: Jobs) -> None:
    job_id = (await jobs.start(ONCE, AGAIN)).job_id
    await jobs.queue.fail(await jobs.take(), Failure(FailureKind.UNSURE, "no answer"))
    record = await jobs.record(job_id)
    assert record.status is JobStatus.WAITING_APPROVAL
    assert (record.steps[0].status, record.steps[0].error) == (StepStatus.UNKNOWN_OUTCOME, "no answer")


async def test_an_ended_job_expires_with_all_that_belongs_to_it(open_jobs: Open) -> None:
    async with open_jobs(Bounds(retention_seconds=0)) as jobs:
        ended = (await jobs.start(AGENT, key="k")).job_id
        alive = (await jobs.start(AGENT)).job_id
        await jobs.queue.commit(await jobs.take(), "1", keep=True)

        async def expired() -> bool:
            return await jobs.queue.expire() == 1

        await eventually(expired)
        with pytest.raises(JobNotFound):
            await jobs.record(ended)
        page = await jobs.page(Reach("acme", None), limit=9, after=None)
        assert [row.job_id for row in page.jobs] == [alive]
        assert (await jobs.start(AGENT, key="k")).created


async def test_a_failed_job_that_is_retried_does_not_expire(open_jobs: Open) -> None:
    async with open_jobs(Bounds(retention_seconds=0)) as jobs:
        job_id = (await jobs.start(AGENT)).job_id
        await jobs.queue.fail(await jobs.take(), Failure(FailureKind.FAILED, "broken"))
        await jobs.steer(job_id, Action.RETRY)
        assert await jobs.queue.expire() == 0
        assert await jobs.status(job_id) is JobStatus.QUEUED


async def test_workers_are_shown_while_they_are_heard_of(jobs: Jobs) -> None:
    assert await jobs.store.workers() == []
    await jobs.start(AGENT)
    run = await jobs.take()
    await asyncio.to_thread(jobs.pulse.beat, worker("w", run), [run.claim])
    (seen,) = await jobs.store.workers()
    assert (seen.worker_id, seen.jobs) == ("w", [(ANN, run.record.job_id)])

    async def forgotten() -> bool:
        return await jobs.store.workers() == []

    await eventually(forgotten, seconds=5 * LEASE)
    await asyncio.to_thread(jobs.pulse.beat, worker("w"), [])
    await jobs.queue.leave("w")
    assert await forgotten()


async def test_the_store_answers_its_ping(jobs: Jobs) -> None:
    assert "set `" not in await jobs.store.ping()
