"""A job is started once, runs to its end, and tells what happens to it."""

import asyncio

import pytest

from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import StepStatus
from kit.identity import Owner
from services.jobs.errors import IdempotencyKeyReused
from services.jobs.store import Bounds
from tests.job_stores import AGAIN, AGENT, Jobs, Open, mine


async def test_a_job_runs_from_start_to_end(jobs: Jobs) -> None:
    started = await jobs.start(AGENT, AGAIN, input={"month": "2026-09"}, kind="review")
    assert (started.status, started.created) == (JobStatus.QUEUED, True)
    run = await jobs.take()
    assert (run.index, run.step.attempts, run.record.status) == (0, 1, JobStatus.RUNNING)
    assert run.scope() == {"input": {"month": "2026-09"}, "steps": {}}

    onward = await jobs.queue.commit(run, '{"reply": "hi"}', keep=True)
    assert onward is not None
    assert (onward.index, onward.step.attempts) == (1, 1)
    assert onward.scope()["steps"] == {"ask": {"reply": "hi"}}
    assert await jobs.queue.commit(onward, '"done"', keep=True) is None

    job = (await jobs.record(started.job_id)).as_job()
    assert (job.status, job.progress, job.result, job.current_step) == (JobStatus.SUCCEEDED, 1, "done", 2)
    assert [(step.status, step.attempts, step.result) for step in job.steps] == [
        (StepStatus.PASSED, 1, {"reply": "hi"}),
        (StepStatus.PASSED, 1, "done"),
    ]
    assert job.steps[0].started_at
    assert job.steps[0].finished_at
    assert job.steps[0].started_at <= job.steps[0].finished_at <= job.last_update
    assert await jobs.nothing_queued()


async def test_every_change_is_an_event_numbered_without_a_gap(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    await jobs.queue.commit(await jobs.take(), "1", keep=True)
    assert [(event.seq, event.type, event.status) for event in await jobs.events(job_id)] == [
        (1, "job.transition", "queued"),
        (2, "job.transition", "running"),
        (3, "step.started", "in_progress"),
        (4, "step.finished", "passed"),
        (5, "job.transition", "succeeded"),
    ]
    first, _, began, *_ = await jobs.events(job_id)
    assert first.subject == job_id
    assert first.data["by"] == "ann"
    assert began.data == {"index": 0, "step": "ask", "attempt": 1}


async def test_events_are_resumed_after_any_number(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    await jobs.queue.commit(await jobs.take(), "1", keep=True)
    for after in range(7):
        batch = await jobs.store.events(mine(), job_id, after=after, limit=2)
        assert [event.seq for event in batch.events] == [n for n in (after + 1, after + 2) if n <= 5]
        assert batch.ended == (after >= 3)


async def test_only_the_newest_events_are_kept(open_jobs: Open) -> None:
    async with open_jobs(Bounds(events_kept=3)) as jobs:
        job_id = (await jobs.start(AGENT)).job_id
        await jobs.queue.commit(await jobs.take(), "1", keep=True)
        assert [event.seq for event in await jobs.events(job_id)] == [3, 4, 5]
        assert [event.seq for event in await jobs.events(job_id, after=4)] == [5]


async def test_a_watcher_hears_of_what_happens(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    async with jobs.store.watch(job_id) as news, asyncio.timeout(5):
        await jobs.take()
        await news.wait(60)


async def test_odd_values_come_back_as_they_were(jobs: Jobs) -> None:
    odd = {"empty": {}, "none": [], "big": 10**30, "text": 'ü \u2028 " \\ 漢 {0}', "float": 0.1, "null": None}
    job_id = (await jobs.start(AGENT, input=odd, title='ü \\ " {}')).job_id
    await jobs.queue.commit(await jobs.take(), '{"a": [], "b": {}, "c": 1e300}', keep=True)
    record = await jobs.record(job_id)
    assert record.start.input == odd
    assert record.start.title == 'ü \\ " {}'
    assert record.steps[0].result == {"a": [], "b": {}, "c": 1e300}


async def test_the_same_key_gives_the_same_job(jobs: Jobs) -> None:
    first = await jobs.start(AGENT, key="k")
    again = await jobs.start(AGENT, key="k")
    assert (again.job_id, again.created) == (first.job_id, False)
    with pytest.raises(IdempotencyKeyReused):
        await jobs.start(AGAIN, key="k")
    await jobs.take()
    assert await jobs.nothing_queued()


async def test_callers_with_the_same_key_at_once_start_one_job(jobs: Jobs) -> None:
    started = await asyncio.gather(*(jobs.start(AGENT, key="k") for _ in range(10)))
    assert len({each.job_id for each in started}) == 1
    assert sum(each.created for each in started) == 1


@pytest.mark.parametrize("other", [Owner("acme", "ben"), Owner("globex", "ann")])
async def test_a_key_is_its_owners(jobs: Jobs, other: Owner) -> None:
    first = await jobs.start(AGENT, key="k")
    second = await jobs.start(AGAIN, key="k", owner=other)
    assert second.created
    assert second.job_id != first.job_id
