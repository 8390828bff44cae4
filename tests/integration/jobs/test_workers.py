"""Real worker processes: killed, stopped, restarted, blocked. No step is recorded twice and no job is lost."""

import time
from collections import Counter

import pytest

from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import StepStatus
from services.jobs.states import Action
from tests.integration.jobs.conftest import Notes, Workers, reach
from tests.job_stores import Jobs
from tests.waiting import eventually

PROMISED_SECONDS = 10


async def test_a_killed_workers_job_goes_on_from_its_last_recorded_step_within_ten_seconds(
    jobs: Jobs, workers: Workers, notes: Notes
) -> None:
    doomed = await workers().ready()
    steps = [notes.step("first"), notes.held_step("second", repeatable=True), notes.step("third")]
    job_id = (await jobs.start(*steps)).job_id
    await eventually(lambda: notes.executions()[f"{job_id}:1"] == 1)
    other = await workers().ready()
    doomed.kill()
    killed = time.monotonic()
    await eventually(lambda: notes.executions()[f"{job_id}:1"] == 2, seconds=PROMISED_SECONDS)
    assert time.monotonic() - killed < PROMISED_SECONDS
    notes.let_go()
    await reach(jobs, job_id, JobStatus.SUCCEEDED)

    record = await jobs.record(job_id)
    assert [step.attempts for step in record.steps] == [1, 2, 1]
    assert notes.executions() == Counter({f"{job_id}:0": 1, f"{job_id}:1": 2, f"{job_id}:2": 1})
    finished = [event.data["index"] for event in await jobs.events(job_id) if event.type == "step.finished"]
    assert finished == [0, 1, 2]
    assert other.process.poll() is None


async def test_a_killed_workers_step_that_may_not_be_repeated_waits_for_a_human(
    jobs: Jobs, workers: Workers, notes: Notes
) -> None:
    doomed = await workers(lease_seconds=1).ready()
    job_id = (await jobs.start(notes.held_step("pay"), notes.step("after"))).job_id
    await eventually(lambda: notes.executions()[f"{job_id}:0"] == 1)
    doomed.kill()
    await workers(lease_seconds=1).ready()
    await reach(jobs, job_id, JobStatus.WAITING_APPROVAL)
    assert (await jobs.record(job_id)).steps[0].status is StepStatus.UNKNOWN_OUTCOME
    await jobs.decide(job_id, 0, Action.APPROVE, "the bank shows it")
    await reach(jobs, job_id, JobStatus.SUCCEEDED)
    assert notes.executions() == Counter({f"{job_id}:0": 1, f"{job_id}:1": 1})


async def test_a_paused_job_stays_paused_over_a_workers_restart(jobs: Jobs, workers: Workers, notes: Notes) -> None:
    first = await workers().ready()
    job_id = (await jobs.start(notes.held_step("one"), notes.step("two"))).job_id
    await eventually(lambda: notes.executions()[f"{job_id}:0"] == 1)
    assert await jobs.steer(job_id, Action.PAUSE) is JobStatus.PAUSING
    notes.let_go()
    await reach(jobs, job_id, JobStatus.PAUSED)

    first.kill()
    await workers().ready()
    other = (await jobs.start(notes.step("passes"))).job_id
    await reach(jobs, other, JobStatus.SUCCEEDED)
    assert (await jobs.record(job_id)).status is JobStatus.PAUSED
    await jobs.steer(job_id, Action.RESUME)
    await reach(jobs, job_id, JobStatus.SUCCEEDED)
    assert notes.executions()[f"{job_id}:1"] == 1


async def test_two_workers_run_no_step_twice(jobs: Jobs, workers: Workers, notes: Notes) -> None:
    for each in (workers(), workers()):
        await each.ready()
    ids = [(await jobs.start(notes.step("a", seconds=0.01), notes.step("b"))).job_id for _ in range(40)]
    for job_id in ids:
        await reach(jobs, job_id, JobStatus.SUCCEEDED)
    assert notes.executions() == Counter({f"{job_id}:{n}": 1 for job_id in ids for n in (0, 1)})
    takers = {
        event.data["worker"]
        for job_id in ids
        for event in await jobs.events(job_id)
        if event.data.get("action") == "take"
    }
    assert len(takers) == 2, "one of the workers did everything, so the test shows nothing"


async def test_a_worker_that_is_told_to_stop_finishes_its_step_and_leaves_the_rest(
    jobs: Jobs, workers: Workers, notes: Notes
) -> None:
    stopping = await workers().ready()
    job_id = (await jobs.start(notes.held_step("one"), notes.step("two"))).job_id
    await eventually(lambda: notes.executions()[f"{job_id}:0"] == 1)
    stopping.terminate()
    await eventually(lambda: stopping.says("worker_stopping"))
    notes.let_go()
    assert await stopping.ended(seconds=8) == 0
    record = await jobs.record(job_id)
    assert (record.status, record.cursor, record.steps[0].result) == (JobStatus.QUEUED, 1, "went")
    assert await jobs.store.workers() == []


async def test_a_worker_that_is_told_to_stop_hands_over_a_long_step_in_time(
    jobs: Jobs, workers: Workers, notes: Notes
) -> None:
    stopping = await workers().ready()
    job_id = (await jobs.start(notes.held_step("long", repeatable=True))).job_id
    await eventually(lambda: notes.executions()[f"{job_id}:0"] == 1)
    stopping.terminate()
    assert await stopping.ended(seconds=8) == 0
    assert (await jobs.record(job_id)).status is JobStatus.QUEUED


async def test_a_worker_does_not_outlive_its_parent(jobs: Jobs, workers: Workers, notes: Notes) -> None:
    orphan = await workers().ready()
    job_id = (await jobs.start(notes.held_step("long"))).job_id
    await eventually(lambda: notes.executions()[f"{job_id}:0"] == 1)
    assert orphan.process.stdin is not None
    orphan.process.stdin.close()
    assert await orphan.ended(seconds=2) == 0


async def test_a_function_that_blocks_for_longer_than_a_lease_runs_once(jobs: Jobs, workers: Workers) -> None:
    for each in (workers(lease_seconds=0.5), workers(lease_seconds=0.5)):
        await each.ready()
    step = {"name": "block", "kind": "function", "function": "block", "arguments": {"seconds": 2}, "repeatable": True}
    job_id = (await jobs.start(step)).job_id
    await reach(jobs, job_id, JobStatus.SUCCEEDED)
    assert (await jobs.record(job_id)).steps[0].attempts == 1


async def test_cancelling_reaches_a_running_step(jobs: Jobs, workers: Workers, notes: Notes) -> None:
    running = await workers(lease_seconds=0.5).ready()
    job_id = (await jobs.start(notes.held_step("long"))).job_id
    await eventually(lambda: notes.executions()[f"{job_id}:0"] == 1)
    await jobs.steer(job_id, Action.CANCEL)
    await eventually(lambda: running.says("step_interrupted"))
    assert (await jobs.record(job_id)).status is JobStatus.CANCELLED


@pytest.mark.parametrize("missing", ["no.such.module"])
async def test_a_worker_without_its_functions_does_not_start(workers: Workers, missing: str) -> None:
    broken = workers(function_modules=missing)
    assert await broken.ended(seconds=20) == 1
    assert "cannot be imported" in broken.log.read_text()
