"""Pause, resume, cancel, retry: what is possible when, and what comes of it."""

import asyncio
from typing import Any

import pytest

from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import StepStatus
from services.jobs.errors import IllegalTransition
from services.jobs.states import STEERING, Action, legal
from services.jobs.store import Failure, FailureKind, LeaseLost
from tests.job_stores import AGAIN, AGENT, BREAKPOINT, LONG, NAP, Jobs, mine, worker


async def test_a_queued_job_is_paused_at_once_and_resumed(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    assert await jobs.steer(job_id, Action.PAUSE) is JobStatus.PAUSED
    assert await jobs.nothing_queued()
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.QUEUED
    assert (await jobs.take()).record.job_id == job_id


async def test_a_running_job_pauses_when_its_step_is_done(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    run = await jobs.take()
    assert await jobs.steer(job_id, Action.PAUSE) is JobStatus.PAUSING
    assert await jobs.queue.commit(run, "1", keep=True) is None
    assert await jobs.status(job_id) is JobStatus.PAUSED
    assert await jobs.statuses(job_id) == [StepStatus.PASSED, StepStatus.PENDING]
    assert await jobs.nothing_queued()
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.QUEUED
    assert (await jobs.take()).index == 1


async def test_a_pause_is_taken_back(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    run = await jobs.take()
    await jobs.steer(job_id, Action.PAUSE)
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.RUNNING
    assert await jobs.queue.commit(run, "1", keep=True) is not None


async def test_a_job_that_pauses_in_its_last_step_succeeds(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    run = await jobs.take()
    await jobs.steer(job_id, Action.PAUSE)
    await jobs.queue.commit(run, "1", keep=True)
    assert await jobs.status(job_id) is JobStatus.SUCCEEDED


async def test_a_paused_timer_goes_on_where_it_was(jobs: Jobs) -> None:
    job_id = (await jobs.start(LONG)).job_id
    assert await jobs.steer(job_id, Action.PAUSE) is JobStatus.PAUSED
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.SCHEDULED
    assert (await jobs.record(job_id)).steps[0].attempts == 1


async def test_a_paused_job_does_not_wake(jobs: Jobs) -> None:
    job_id = (await jobs.start(NAP)).job_id
    await jobs.steer(job_id, Action.PAUSE)
    other = (await jobs.start(NAP)).job_id
    await jobs.woken()
    assert (await jobs.record(other)).status is JobStatus.SUCCEEDED
    assert await jobs.status(job_id) is JobStatus.PAUSED
    await jobs.steer(job_id, Action.RESUME)
    await jobs.woken()
    assert await jobs.status(job_id) is JobStatus.SUCCEEDED


async def test_a_running_job_is_cancelled_at_once_and_its_worker_told(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    run = await jobs.take()
    assert await asyncio.to_thread(jobs.pulse.beat, worker("w", run), [run.claim]) == []
    assert await jobs.steer(job_id, Action.CANCEL) is JobStatus.CANCELLED
    assert await asyncio.to_thread(jobs.pulse.beat, worker("w", run), [run.claim]) == [run.claim]
    with pytest.raises(LeaseLost):
        await jobs.queue.commit(run, "1", keep=True)
    with pytest.raises(LeaseLost):
        await jobs.queue.fail(run, Failure(FailureKind.FAILED, "late"))
    assert await jobs.statuses(job_id) == [StepStatus.UNKNOWN_OUTCOME, StepStatus.PENDING]


@pytest.mark.parametrize("step", [AGENT, LONG, BREAKPOINT], ids=["queued", "scheduled", "waiting_approval"])
async def test_a_job_that_nobody_runs_is_cancelled(jobs: Jobs, step: dict[str, Any]) -> None:
    job_id = (await jobs.start(step)).job_id
    assert await jobs.steer(job_id, Action.CANCEL) is JobStatus.CANCELLED
    assert await jobs.statuses(job_id) == [StepStatus.PENDING]
    assert await jobs.nothing_queued()
    assert (await jobs.store.events(mine(), job_id, after=0, limit=99)).ended


async def in_state(jobs: Jobs, status: JobStatus) -> str:
    """A job that came into this state by its own doing."""
    special: dict[JobStatus, dict[str, Any]] = {JobStatus.SCHEDULED: LONG, JobStatus.WAITING_APPROVAL: BREAKPOINT}
    job_id = (await jobs.start(special.get(status, AGENT))).job_id
    if status in (JobStatus.RUNNING, JobStatus.PAUSING, JobStatus.SUCCEEDED, JobStatus.FAILED):
        run = await jobs.take()
        if status is JobStatus.PAUSING:
            await jobs.steer(job_id, Action.PAUSE)
        elif status is JobStatus.SUCCEEDED:
            await jobs.queue.commit(run, "1", keep=True)
        elif status is JobStatus.FAILED:
            await jobs.queue.fail(run, Failure(FailureKind.FAILED, "broken"))
    elif status is JobStatus.PAUSED:
        await jobs.steer(job_id, Action.PAUSE)
    elif status is JobStatus.CANCELLED:
        await jobs.steer(job_id, Action.CANCEL)
    assert await jobs.status(job_id) is status
    return job_id


@pytest.mark.parametrize("status", JobStatus)
@pytest.mark.parametrize("action", STEERING)
async def test_what_the_table_does_not_allow_is_refused_and_changes_nothing(
    jobs: Jobs, status: JobStatus, action: Action
) -> None:
    job_id = await in_state(jobs, status)
    before = await jobs.record(job_id)
    # These two take an outcome that nobody knows, and a step to begin with.
    refused = action is Action.RETRY and status in (JobStatus.WAITING_APPROVAL, JobStatus.SUCCEEDED)
    allowed = legal(action, status) and not refused
    if allowed:
        assert await jobs.steer(job_id, action) is not status
    else:
        with pytest.raises(IllegalTransition, match=f"{action} is not possible: {job_id} is {status}"):
            await jobs.steer(job_id, action)
        assert await jobs.record(job_id) == before
