"""Time that a job has, what it keeps at its checkpoints, and what callers change of it while it waits or has ended."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bureau_contracts.events import EventType
from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import NewStep, StepStatus
from kit.identity import Reach
from services.jobs.errors import IllegalTransition, JobNotFound, StepNotFound, StepNotWaiting, TooManyEdits
from services.jobs.states import Action
from services.jobs.store import Checkpoint, Failure, FailureKind, JobList, LeaseLost
from tests.job_stores import AGAIN, AGENT, BREAKPOINT, LONG, NAP, ONCE, Jobs, mine, worker

OTHER = NewStep.model_validate(AGENT | {"message": "rather this"})


async def test_a_job_that_is_not_done_by_its_deadline_fails(jobs: Jobs) -> None:
    job_id = (await jobs.start(LONG, deadline_seconds=0.02)).job_id
    assert (await jobs.record(job_id)).deadline is not None
    await jobs.woken()
    record = await jobs.record(job_id)
    assert (record.status, record.error, record.deadline) == (JobStatus.FAILED, "was not done by its deadline", None)
    assert await jobs.statuses(job_id) == [StepStatus.PENDING]


@pytest.mark.parametrize(
    ("step", "left"), [(AGENT, StepStatus.PENDING), (ONCE, StepStatus.UNKNOWN_OUTCOME)], ids=["repeatable", "once"]
)
async def test_a_deadline_takes_a_running_job_from_its_worker(
    jobs: Jobs, step: dict[str, Any], left: StepStatus
) -> None:
    job_id = (await jobs.start(step, deadline_seconds=0.02)).job_id
    run = await jobs.take()
    await jobs.woken()
    assert await jobs.status(job_id) is JobStatus.FAILED
    assert await jobs.statuses(job_id) == [left]
    assert await asyncio.to_thread(jobs.pulse.beat, worker("w", run), [run.claim]) == [run.claim]
    with pytest.raises(LeaseLost):
        await jobs.queue.commit(run, "1", keep=True)


@pytest.mark.parametrize("how", ["paused", "waiting for a human"])
async def test_a_deadline_stands_still_while_nobody_can_work(jobs: Jobs, how: str) -> None:
    steps = (AGENT,) if how == "paused" else (BREAKPOINT, AGENT)
    job_id = (await jobs.start(*steps, deadline_seconds=0.2)).job_id
    if how == "paused":
        await jobs.steer(job_id, Action.PAUSE)
    assert (await jobs.record(job_id)).deadline is None
    other = (await jobs.start(LONG, deadline_seconds=0.25)).job_id
    await jobs.woken()
    assert await jobs.status(other) is JobStatus.FAILED
    assert await jobs.status(job_id) is not JobStatus.FAILED
    if how == "paused":
        await jobs.steer(job_id, Action.RESUME)
    else:
        await jobs.decide(job_id, 0, Action.APPROVE)
    assert (await jobs.record(job_id)).deadline is not None
    await jobs.woken()
    assert await jobs.status(job_id) is JobStatus.FAILED


async def test_a_retry_has_the_whole_time_again_and_an_ended_job_none(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, deadline_seconds=60)).job_id
    await jobs.queue.fail(await jobs.take(), Failure(FailureKind.FAILED, "broken"))
    assert (await jobs.record(job_id)).deadline is None
    await jobs.steer(job_id, Action.RETRY)
    record = await jobs.record(job_id)
    assert record.deadline is not None
    assert abs(record.deadline - record.last_update - timedelta(seconds=60)) < timedelta(seconds=1)


async def test_a_job_may_start_later_and_its_deadline_counts_from_then(jobs: Jobs) -> None:
    at = datetime.now(UTC) + timedelta(seconds=3600)
    job_id = (await jobs.start(AGENT, start_at=at, deadline_seconds=60)).job_id
    record = await jobs.record(job_id)
    assert record.status is JobStatus.SCHEDULED
    assert record.deadline is not None
    assert abs(record.deadline - at - timedelta(seconds=60)) < timedelta(seconds=1)
    assert await jobs.nothing_queued()
    assert await jobs.queue.wake() == 0

    soon = (await jobs.start(BREAKPOINT, start_at=datetime.now(UTC) + timedelta(seconds=0.03))).job_id
    await jobs.woken()
    assert await jobs.status(soon) is JobStatus.WAITING_APPROVAL


async def test_a_checkpoint_keeps_its_state_for_who_begins_again(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    run = await jobs.take()
    assert await jobs.queue.checkpoint(run, Checkpoint('{"done": [1, 2], "none": []}', 0.5, "half"))
    record = await jobs.record(job_id)
    assert (record.steps[0].progress, record.steps[0].note, record.as_job().progress) == (0.5, "half", 0.5)
    (told,) = [event for event in await jobs.events(job_id) if event.type is EventType.STEP_PROGRESS]
    assert told.data == {"index": 0, "step": "ask", "progress": 0.5, "note": "half"}
    await jobs.swept()
    again = await jobs.take("other")
    assert (again.step.state, again.step.attempts) == ({"done": [1, 2], "none": []}, 2)
    with pytest.raises(LeaseLost):
        await jobs.queue.checkpoint(run, Checkpoint("3"))
    await jobs.queue.commit(again, "1", keep=True)
    assert (await jobs.record(job_id)).steps[0].state is None


async def test_a_pause_at_a_checkpoint_is_no_attempt(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    run = await jobs.take()
    await jobs.steer(job_id, Action.PAUSE)
    assert not await jobs.queue.checkpoint(run, Checkpoint("7"))
    assert await jobs.status(job_id) is JobStatus.PAUSED
    with pytest.raises(LeaseLost):
        await jobs.queue.commit(run, "1", keep=True)
    await jobs.steer(job_id, Action.RESUME)
    again = await jobs.take()
    assert (again.step.attempts, again.step.state) == (1, 7)


async def test_a_step_that_has_not_begun_is_edited_and_its_old_version_kept(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    await jobs.steer(job_id, Action.PAUSE)
    for text in ("rather this", "or that"):
        definition = NewStep.model_validate(AGAIN | {"message": text})
        assert await jobs.store.edit(mine(), await jobs.record(job_id), 1, definition, "ann", f"now {text}")
    record = await jobs.record(job_id)
    assert record.steps[1].definition.message == "or that"
    assert [(each.definition.message, each.by, each.comment) for each in record.steps[1].versions] == [
        ("and now?", "ann", "now rather this"),
        ("rather this", "ann", "now or that"),
    ]
    assert record.start.steps[1].message == "and now?", "what was asked for stays on record"
    assert [event.data["index"] for event in await jobs.events(job_id) if event.type is EventType.STEP_EDITED] == [1, 1]
    await jobs.steer(job_id, Action.RESUME)
    onward = await jobs.queue.commit(await jobs.take(), "1", keep=True)
    assert onward is not None
    assert onward.step.definition.message == "or that"


async def test_an_edit_of_what_somebody_else_edited_meanwhile_does_nothing(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    await jobs.steer(job_id, Action.PAUSE)
    seen = await jobs.record(job_id)
    assert await jobs.store.edit(mine(), seen, 0, OTHER, "ben", "")
    before = await jobs.record(job_id)
    assert not await jobs.store.edit(mine(), seen, 1, OTHER, "ann", "")
    assert await jobs.record(job_id) == before
    assert await jobs.store.edit(mine(), replace(seen, edits=1), 0, OTHER, "ann", "")


async def test_what_was_told_before_does_not_pile_up_without_end(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    await jobs.steer(job_id, Action.PAUSE)
    long = NewStep.model_validate(AGAIN | {"message": "é" * 900_000})
    for _ in range(4):
        assert await jobs.store.edit(mine(), await jobs.record(job_id), 1, long, "ann", "")
    before = await jobs.record(job_id)
    with pytest.raises(TooManyEdits):
        await jobs.store.edit(mine(), before, 0, OTHER, "ann", "")
    assert await jobs.record(job_id) == before


async def test_an_edited_plan_is_followed(jobs: Jobs) -> None:
    """Also in what the store itself must know of a step: that it waits, for whom, and whether it may be repeated."""
    job_id = (await jobs.start(BREAKPOINT, AGENT, AGAIN)).job_id
    nap = NewStep.model_validate(NAP)
    asks = NewStep.model_validate({"name": "look", "kind": "breakpoint", "approval": {"approvers": ["carl"]}})
    assert await jobs.store.edit(mine(), await jobs.record(job_id), 1, nap, "ann", "")
    assert await jobs.store.edit(mine(), await jobs.record(job_id), 2, asks, "ann", "")
    assert await jobs.decide(job_id, 0, Action.APPROVE) is JobStatus.SCHEDULED
    await jobs.woken()
    assert await jobs.status(job_id) is JobStatus.WAITING_APPROVAL
    inbox = await jobs.page(Reach("acme", "carl"), JobList.INBOX)
    assert [row.job_id for row in inbox.jobs] == [job_id]


async def test_a_job_whose_first_step_is_skipped_begins_no_earlier(jobs: Jobs) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    job_id = (await jobs.start(AGENT, AGAIN, start_at=tomorrow)).job_id
    await jobs.steer(job_id, Action.PAUSE)
    await jobs.decide(job_id, 0, Action.SKIP)
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.SCHEDULED
    assert await jobs.nothing_queued()


async def test_what_has_begun_or_runs_is_not_edited(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, BREAKPOINT, AGAIN)).job_id
    seen = await jobs.record(job_id)
    with pytest.raises(IllegalTransition):
        await jobs.store.edit(mine(), seen, 1, OTHER, "ann", "")
    await jobs.finish()
    for step, error in ((0, StepNotWaiting), (1, StepNotWaiting), (3, StepNotFound)):
        with pytest.raises(error):
            await jobs.store.edit(mine(), seen, step, OTHER, "ann", "")
    with pytest.raises(JobNotFound):
        await jobs.store.edit(Reach("acme", "ben"), seen, 2, OTHER, "ben", "")


async def test_an_edited_step_does_not_wait_for_its_old_retry_and_is_another_effect(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    await jobs.queue.fail(await jobs.take(), Failure(FailureKind.RETRY, "busy", 3600))
    await jobs.steer(job_id, Action.PAUSE)
    await jobs.store.edit(mine(), await jobs.record(job_id), 0, OTHER, "ann", "")
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.QUEUED
    run = await jobs.take()
    assert (run.step.attempts, run.step.error, run.step.redo) == (1, None, 1)


async def test_an_edit_does_not_bring_a_later_start_forward(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, start_at=datetime.now(UTC) + timedelta(hours=1))).job_id
    await jobs.steer(job_id, Action.PAUSE)
    await jobs.store.edit(mine(), await jobs.record(job_id), 0, OTHER, "ann", "")
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.SCHEDULED


async def test_steps_ahead_of_a_paused_job_are_skipped(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, BREAKPOINT, LONG, AGAIN)).job_id
    await jobs.steer(job_id, Action.PAUSE)
    for step in (1, 2):
        assert await jobs.decide(job_id, step, Action.SKIP, "not this time") is JobStatus.PAUSED
    with pytest.raises(StepNotWaiting):
        await jobs.decide(job_id, 2, Action.SKIP)
    await jobs.steer(job_id, Action.RESUME)
    onward = await jobs.queue.commit(await jobs.take(), "1", keep=True)
    assert onward is not None
    assert onward.index == 3
    verdict = (await jobs.record(job_id)).steps[1].verdict
    assert verdict is not None
    assert verdict["comment"] == "not this time"


async def test_a_job_whose_last_steps_are_skipped_succeeds(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    await jobs.steer(job_id, Action.PAUSE)
    await jobs.decide(job_id, 1, Action.SKIP)
    await jobs.steer(job_id, Action.RESUME)
    assert await jobs.queue.commit(await jobs.take(), "1", keep=True) is None
    assert await jobs.status(job_id) is JobStatus.SUCCEEDED


async def test_an_ended_job_is_run_again_from_a_step(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN, ONCE)).job_id
    run = await jobs.take()
    for _ in range(3):
        onward = await jobs.queue.commit(run, "1", keep=True)
        run = onward or run
    assert await jobs.status(job_id) is JobStatus.SUCCEEDED
    assert await jobs.steer(job_id, Action.RETRY, from_step=1) is JobStatus.QUEUED
    record = await jobs.record(job_id)
    assert [(step.status, step.result, step.redo) for step in record.steps] == [
        (StepStatus.PASSED, 1, 0), (StepStatus.PENDING, None, 1), (StepStatus.PENDING, None, 1),
    ]  # fmt: skip
    assert (record.attempt, record.cursor) == (2, 1)
    again = await jobs.take()
    assert (again.index, again.step.attempts, again.step.redo) == (1, 1, 1)
    assert [
        event.data.get("from_step") for event in await jobs.events(job_id) if event.data.get("action") == "retry"
    ] == [1]


async def test_a_retry_from_where_the_job_never_was_is_refused(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, AGAIN)).job_id
    with pytest.raises(IllegalTransition):
        await jobs.steer(job_id, Action.RETRY, from_step=0)
    await jobs.queue.fail(await jobs.take(), Failure(FailureKind.FAILED, "broken"))
    before = await jobs.record(job_id)
    for step in (1, 7):
        with pytest.raises(StepNotFound):
            await jobs.steer(job_id, Action.RETRY, from_step=step)
    assert await jobs.record(job_id) == before


async def test_what_failed_for_good_is_a_dead_letter_until_it_is_retried(jobs: Jobs) -> None:
    async def dead(reach: Reach | None = None) -> list[str]:
        return [row.job_id for row in (await jobs.page(reach, JobList.DEAD)).jobs]

    failed = (await jobs.start(AGENT)).job_id
    await jobs.queue.fail(await jobs.take(), Failure(FailureKind.FAILED, "broken"))
    rejected, cancelled = [(await jobs.start(BREAKPOINT)).job_id for _ in range(2)]
    await jobs.decide(rejected, 0, Action.REJECT)
    await jobs.steer(cancelled, Action.CANCEL)
    late = (await jobs.start(LONG, deadline_seconds=0.01)).job_id
    await jobs.woken()
    assert await dead() == await dead(Reach("acme", None)) == [late, failed]
    assert await dead(Reach("acme", "ben")) == await dead(Reach("globex", None)) == []
    await jobs.steer(failed, Action.RETRY)
    assert await dead() == [late]
