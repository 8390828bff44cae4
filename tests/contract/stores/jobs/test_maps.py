"""A step that is done for each item of a list, and jobs that belong to another one."""

import asyncio
from typing import Any

import pytest

from bureau_contracts.events import EventType
from bureau_contracts.jobs import Children, JobStatus
from bureau_contracts.steps import StepStatus
from kit.identity import Owner, Reach
from services.jobs.errors import ChildOfMap, Crowded, JobNotFound, ParentNotFound
from services.jobs.limits import parse_limits
from services.jobs.states import Action
from services.jobs.step_map import children_of
from services.jobs.store import MOST_CHILDREN, MOST_GENERATIONS, Bounds, Failure, FailureKind, LeaseLost, Run
from tests.job_stores import AGAIN, AGENT, BREAKPOINT, LEASE, LONG, NAP, Jobs, Open, mine, new_job


def mapping(items: int, *steps: dict[str, Any], parallel: int = 2, partial: bool = False) -> dict[str, Any]:
    over = {"items": list(range(items)), "steps": list(steps or (AGENT,)), "parallel": parallel, "partial": partial}
    return {"name": "each", "kind": "map", "map": over}


async def fan_out(jobs: Jobs, run: Run | None = None) -> str:
    """The next job's map; gives the job's id."""
    run = run or await jobs.take()
    over = run.step.definition.map
    assert over is not None
    children = children_of(run.record, run.step.definition)
    await jobs.queue.fan_out(run, children, parallel=over.parallel, partial=over.partial)
    return run.record.job_id


async def mapped(jobs: Jobs, *steps: dict[str, Any], **fields: Any) -> str:
    await jobs.start(*steps, **fields)
    return await fan_out(jobs)


async def break_next(jobs: Jobs) -> str:
    run = await jobs.take()
    await jobs.queue.fail(run, Failure(FailureKind.FAILED, "broken"))
    return run.record.job_id


async def children(jobs: Jobs, job_id: str) -> dict[str, JobStatus]:
    page = await jobs.store.children(mine(), job_id, status=None, kind=None, limit=100, after=None)
    return {row.job_id: row.status for row in page.jobs}


async def test_each_item_is_a_child_and_the_results_come_in_order(jobs: Jobs) -> None:
    job_id = await mapped(jobs, mapping(3, parallel=3), AGAIN, input={"month": "May"}, priority=7)
    assert await jobs.status(job_id) is JobStatus.SCHEDULED
    runs = await jobs.fetch(10)
    assert sorted(run.record.start.input["item_index"] for run in runs) == [0, 1, 2]
    assert {run.record.start.input["month"] for run in runs} == {"May"}
    assert {run.record.start.priority for run in runs} == {7}
    for run in runs[::-1]:
        await jobs.queue.commit(run, f'"of {run.record.start.input["item"]}"', keep=True)
    record = await jobs.record(job_id)
    assert (record.status, record.cursor) == (JobStatus.QUEUED, 1)
    assert record.steps[0].result == [
        {"job_id": f"{job_id}-0-{item}", "status": "succeeded", "result": f"of {item}", "error": None}
        for item in range(3)
    ]
    assert record.steps[0].children == Children(total=3, ended=3, failed=0)
    ended = [event.data for event in await jobs.events(job_id) if event.type is EventType.CHILD_ENDED]
    assert [(each["ended"], each["total"], each["failed"]) for each in ended] == [(1, 3, 0), (2, 3, 0), (3, 3, 0)]
    assert (await jobs.take()).scope()["steps"]["each"] == record.steps[0].result


async def test_so_many_children_are_under_way_at_once_and_no_more(jobs: Jobs) -> None:
    job_id = await mapped(jobs, mapping(5, parallel=2))
    for ended in range(4):
        runs = await jobs.fetch(10)
        assert len(runs) == (2 if ended == 0 else 1)
        first = runs[0]
        await jobs.queue.commit(first, "1", keep=True)
        assert len([each for each in (await children(jobs, job_id)).values() if each is not JobStatus.SUCCEEDED]) <= 2
    await asyncio.gather(*(jobs.swept() for _ in range(1)))
    while run := await jobs.fetch(1):
        await jobs.queue.commit(run[0], "1", keep=True)
    assert await jobs.status(job_id) is JobStatus.SUCCEEDED


async def test_children_stay_within_the_limits(open_jobs: Open) -> None:
    async with open_jobs(Bounds(limits=parse_limits("tenant:* concurrency=2"))) as jobs:
        await mapped(jobs, mapping(5, parallel=5))
        assert len(await jobs.fetch(10)) == 2


async def test_after_the_first_failure_nothing_more_begins_and_what_is_under_way_ends(jobs: Jobs) -> None:
    job_id = await mapped(jobs, mapping(4, parallel=2), AGAIN)
    broken, going = await jobs.fetch(2)
    await jobs.queue.fail(broken, Failure(FailureKind.FAILED, "broken"))
    assert await jobs.nothing_queued()
    assert await jobs.status(job_id) is JobStatus.SCHEDULED
    await jobs.queue.commit(going, "7", keep=True)
    record = await jobs.record(job_id)
    assert (record.status, record.error) == (JobStatus.FAILED, "1 of 4 children failed")
    assert record.steps[0].status is StepStatus.FAILED
    assert [each["status"] for each in record.steps[0].result] == ["failed", "succeeded", "pending", "pending"]
    assert record.steps[0].result[0]["error"] == "broken"


async def test_a_retry_keeps_the_children_that_succeeded(jobs: Jobs) -> None:
    job_id = await mapped(jobs, mapping(3, parallel=1))
    await jobs.finish('"first"')
    broken = await break_next(jobs)
    with pytest.raises(ChildOfMap):
        await jobs.steer(broken, Action.RETRY)
    assert await jobs.steer(job_id, Action.RETRY) is JobStatus.QUEUED
    await fan_out(jobs)
    assert [await jobs.finish(f'"{number}"') for number in range(2)] == [broken, f"{job_id}-0-2"]
    record = await jobs.record(job_id)
    assert record.status is JobStatus.SUCCEEDED
    assert [each["result"] for each in record.steps[0].result] == ["first", "0", "1"]
    assert (await jobs.record(broken)).attempt == 2


async def test_a_map_that_may_be_partial_passes_although_some_failed(jobs: Jobs) -> None:
    job_id = await mapped(jobs, mapping(3, parallel=1, partial=True), AGAIN)
    await break_next(jobs)
    await jobs.finish('"fine"')
    await jobs.steer(f"{job_id}-0-2", Action.CANCEL)
    record = await jobs.record(job_id)
    assert (record.status, record.steps[0].status) == (JobStatus.QUEUED, StepStatus.PASSED)
    assert [each["status"] for each in record.steps[0].result] == ["failed", "succeeded", "cancelled"]
    assert record.steps[0].children == Children(total=3, ended=3, failed=2)


async def test_a_fan_out_that_comes_twice_or_late_is_refused(jobs: Jobs) -> None:
    await jobs.start(mapping(2))
    run = await jobs.take()
    job_id = await fan_out(jobs, run)
    with pytest.raises(LeaseLost):
        await fan_out(jobs, run)
    assert len(await children(jobs, job_id)) == 2


async def test_pause_and_resume_reach_the_children(jobs: Jobs) -> None:
    job_id = await mapped(jobs, mapping(3, parallel=2))
    run = await jobs.take()
    assert await jobs.steer(job_id, Action.PAUSE) is JobStatus.PAUSED
    assert sorted((await children(jobs, job_id)).values()) == ["paused", "pausing"]
    await jobs.queue.commit(run, "1", keep=True)
    assert await jobs.nothing_queued(), "a paused job's next child does not begin"
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.SCHEDULED
    for _ in range(2):
        await jobs.finish()
    assert await jobs.status(job_id) is JobStatus.SUCCEEDED


async def test_a_job_that_is_paused_as_it_fans_out_begins_nothing(jobs: Jobs) -> None:
    await jobs.start(mapping(2))
    run = await jobs.take()
    await jobs.steer(run.record.job_id, Action.PAUSE)
    job_id = await fan_out(jobs, run)
    assert await jobs.status(job_id) is JobStatus.PAUSED
    assert await jobs.nothing_queued()
    await jobs.steer(job_id, Action.RESUME)
    for _ in range(2):
        await jobs.finish()
    assert await jobs.status(job_id) is JobStatus.SUCCEEDED


async def test_cancelling_reaches_the_children_and_none_begins(jobs: Jobs) -> None:
    job_id = await mapped(jobs, mapping(3, parallel=2))
    run = await jobs.take()
    await jobs.steer(job_id, Action.CANCEL)
    assert set((await children(jobs, job_id)).values()) == {JobStatus.CANCELLED}
    with pytest.raises(LeaseLost):
        await jobs.queue.commit(run, "1", keep=True)
    assert await jobs.nothing_queued()
    assert await jobs.status(job_id) is JobStatus.CANCELLED


async def test_a_map_whose_job_is_paused_may_be_skipped_and_its_children_are_cancelled(jobs: Jobs) -> None:
    job_id = await mapped(jobs, mapping(3), AGAIN)
    await jobs.steer(job_id, Action.PAUSE)
    assert await jobs.decide(job_id, 0, Action.SKIP) is JobStatus.PAUSED
    assert set((await children(jobs, job_id)).values()) == {JobStatus.CANCELLED}
    assert (await jobs.statuses(job_id))[0] is StepStatus.SKIPPED
    await jobs.steer(job_id, Action.RESUME)
    assert (await jobs.take()).index == 1


async def test_a_deadline_ends_the_children_too(jobs: Jobs) -> None:
    job_id = await mapped(jobs, mapping(2), deadline_seconds=0.5)
    await jobs.woken()
    record = await jobs.record(job_id)
    assert (record.status, record.error) == (JobStatus.FAILED, "was not done by its deadline")
    assert set((await children(jobs, job_id)).values()) == {JobStatus.CANCELLED}


async def test_results_that_are_too_long_together_fail_the_step(open_jobs: Open) -> None:
    async with open_jobs(Bounds(lease_seconds=LEASE, max_result_bytes=1000)) as jobs:
        job_id = await mapped(jobs, mapping(2, parallel=1))
        for _ in range(2):
            await jobs.finish('"' + "x" * 500 + '"')
        record = await jobs.record(job_id)
        assert (record.status, record.steps[0].result) == (JobStatus.FAILED, None)
        assert record.error == "the results have more than 1000 bytes together"
        assert len(await children(jobs, job_id)) == 2, "each has what it brought about"


async def test_children_wait_for_humans_and_timers_like_any_job(jobs: Jobs) -> None:
    job_id = await mapped(jobs, mapping(1, NAP, BREAKPOINT, AGENT))
    (child,) = await children(jobs, job_id)
    await jobs.woken()
    assert await jobs.status(child) is JobStatus.WAITING_APPROVAL
    assert await jobs.decide(child, 1, Action.APPROVE) is JobStatus.QUEUED
    await jobs.finish('"done"')
    assert (await jobs.record(job_id)).steps[0].result[0]["result"] == "done"


async def test_what_children_cost_is_their_parents_cost_too_at_every_height(jobs: Jobs) -> None:
    top = (await jobs.start(LONG)).job_id
    await jobs.start(mapping(2), AGAIN, parent_id=top)
    middle = await fan_out(jobs)
    for _ in range(2):
        await jobs.queue.commit(await jobs.take(), "1", keep=True, cost=0.25)
    assert (await jobs.record(middle)).cost == pytest.approx(0.5)
    assert (await jobs.record(top)).cost == 0
    await jobs.queue.commit(await jobs.take(), "1", keep=True, cost=1)
    assert (await jobs.record(middle)).cost == (await jobs.record(top)).cost == pytest.approx(1.5)
    await jobs.steer(middle, Action.RETRY, from_step=1)
    await jobs.queue.commit(await jobs.take(), "1", keep=True, cost=2)
    assert (await jobs.record(top)).cost == pytest.approx(3.5), "what was told is not told again"


async def test_what_a_child_costs_after_its_parents_end_is_told_further_up(jobs: Jobs) -> None:
    top = (await jobs.start(LONG)).job_id
    middle = (await jobs.start(AGENT, parent_id=top)).job_id
    await jobs.start(AGAIN, parent_id=middle)
    ends, outlives = await jobs.fetch(2)
    await jobs.queue.commit(ends, "1", keep=True, cost=1)
    await jobs.queue.commit(outlives, "1", keep=True, cost=2)
    assert (await jobs.record(top)).cost == pytest.approx(3)


async def test_a_job_may_belong_to_another_and_shares_its_fate(jobs: Jobs) -> None:
    parent = (await jobs.start(LONG)).job_id
    child = (await jobs.start(AGENT, parent_id=parent)).job_id
    assert [row.job_id for row in (await jobs.page()).jobs] == [parent], "a child is its parent's to list"
    assert await children(jobs, parent) == {child: JobStatus.QUEUED}
    await jobs.steer(parent, Action.PAUSE)
    assert await jobs.status(child) is JobStatus.PAUSED
    await jobs.steer(parent, Action.RESUME)
    assert await jobs.finish() == child
    (told,) = [event for event in await jobs.events(parent) if event.type is EventType.CHILD_ENDED]
    assert (told.status, told.data["child"]) == ("succeeded", child)
    other = (await jobs.start(AGENT, parent_id=parent)).job_id
    await jobs.steer(parent, Action.CANCEL)
    assert await jobs.status(other) is JobStatus.CANCELLED
    assert await jobs.steer(other, Action.RETRY) is JobStatus.QUEUED, "it is nobody's step"


@pytest.mark.parametrize("owner", [Owner("acme", "ben"), Owner("globex", "ann")])
async def test_only_the_same_owners_job_can_be_a_parent(jobs: Jobs, owner: Owner) -> None:
    parent = (await jobs.start(LONG)).job_id
    with pytest.raises(ParentNotFound):
        await jobs.start(AGENT, parent_id=parent, owner=owner)
    with pytest.raises(ParentNotFound):
        await jobs.start(AGENT, parent_id="job-unknown")
    with pytest.raises(JobNotFound):
        await jobs.store.children(Reach(owner.tenant, owner.user), parent, status=None, kind=None, limit=9, after=None)
    await jobs.steer(parent, Action.CANCEL)
    with pytest.raises(ParentNotFound):
        await jobs.start(AGENT, parent_id=parent)


async def test_there_is_an_end_to_children_and_to_generations(jobs: Jobs) -> None:
    parent = (await jobs.start(LONG)).job_id
    with pytest.raises(Crowded):
        await jobs.store.start([new_job(LONG, parent_id=parent) for _ in range(MOST_CHILDREN + 1)])
    assert await children(jobs, parent) == {}
    # What reaches it reaches the whole family in one step.
    child = (await jobs.start(LONG, parent_id=parent)).job_id
    await jobs.store.start([new_job(LONG, parent_id=child) for _ in range(MOST_CHILDREN - 2)])
    with pytest.raises(Crowded):
        await jobs.store.start([new_job(LONG, parent_id=parent) for _ in range(2)])
    await jobs.start(LONG, parent_id=parent)
    parent = (await jobs.start(LONG)).job_id
    for _ in range(MOST_GENERATIONS):
        parent = (await jobs.start(LONG, parent_id=parent)).job_id
    with pytest.raises(Crowded):
        await jobs.start(LONG, parent_id=parent)
