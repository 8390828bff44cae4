"""Breakpoints and outcomes that nobody knows: a human decides."""

import asyncio

import pytest

from bureau_contracts.events import EventType
from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import StepStatus
from services.jobs.errors import IllegalTransition, StepNotFound, StepNotWaiting
from services.jobs.states import Action
from services.jobs.store import Failure, FailureKind, Verdict
from tests.job_stores import AGAIN, AGENT, BREAKPOINT, LONG, ONCE, Jobs, mine


async def test_a_breakpoint_waits_and_lets_pass(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, BREAKPOINT, AGAIN)).job_id
    assert await jobs.queue.commit(await jobs.take(), "1", keep=True) is None
    assert await jobs.status(job_id) is JobStatus.WAITING_APPROVAL
    assert (await jobs.decide(job_id, 1, Action.APPROVE, "fine")) is JobStatus.QUEUED
    step = (await jobs.record(job_id)).steps[1]
    assert step.status is StepStatus.PASSED
    assert step.verdict is not None
    assert {"decision": "approve", "by": "ann", "comment": "fine"}.items() <= step.verdict.items()
    assert (await jobs.take()).index == 2
    kinds = [event.type for event in await jobs.events(job_id)]
    assert kinds.index(EventType.BREAKPOINT_HIT) < kinds.index(EventType.BREAKPOINT_RESUMED)


async def test_a_rejected_breakpoint_fails_the_job_and_a_retry_asks_again(jobs: Jobs) -> None:
    job_id = (await jobs.start(BREAKPOINT)).job_id
    assert await jobs.decide(job_id, 0, Action.REJECT, "not now") is JobStatus.FAILED
    record = await jobs.record(job_id)
    assert record.error == "rejected by ann: not now"
    assert record.steps[0].status is StepStatus.FAILED
    assert await jobs.steer(job_id, Action.RETRY) is JobStatus.WAITING_APPROVAL
    assert (await jobs.record(job_id)).steps[0].verdict is None


async def test_two_decisions_at_once_are_one(jobs: Jobs) -> None:
    job_id = (await jobs.start(BREAKPOINT, LONG)).job_id
    answers = await asyncio.gather(
        *(jobs.store.decide(mine(), job_id, 0, Verdict(Action.APPROVE, f"u{n}")) for n in range(5)),
        return_exceptions=True,
    )
    assert answers.count(JobStatus.SCHEDULED) == 1
    assert sum(isinstance(answer, IllegalTransition) for answer in answers) == 4


async def test_a_decision_on_another_step_is_refused(jobs: Jobs) -> None:
    job_id = (await jobs.start(BREAKPOINT, AGENT)).job_id
    with pytest.raises(StepNotWaiting):
        await jobs.decide(job_id, 1, Action.APPROVE)
    with pytest.raises(StepNotFound):
        await jobs.decide(job_id, 2, Action.APPROVE)
    with pytest.raises(IllegalTransition):
        await jobs.steer(job_id, Action.RETRY)
    running = (await jobs.start(AGENT)).job_id
    with pytest.raises(IllegalTransition):
        await jobs.decide(running, 0, Action.APPROVE)


async def test_a_paused_breakpoint_still_waits_after_it_is_resumed(jobs: Jobs) -> None:
    job_id = (await jobs.start(BREAKPOINT)).job_id
    await jobs.steer(job_id, Action.PAUSE)
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.WAITING_APPROVAL
    assert (await jobs.record(job_id)).steps[0].attempts == 1


async def test_a_decision_on_a_paused_job_leaves_it_paused(jobs: Jobs) -> None:
    job_id = (await jobs.start(BREAKPOINT, AGENT, AGAIN)).job_id
    await jobs.steer(job_id, Action.PAUSE)
    assert await jobs.decide(job_id, 0, Action.APPROVE) is JobStatus.PAUSED
    with pytest.raises(StepNotWaiting):
        await jobs.decide(job_id, 1, Action.APPROVE)
    assert await jobs.decide(job_id, 1, Action.SKIP) is JobStatus.PAUSED
    assert await jobs.steer(job_id, Action.RESUME) is JobStatus.QUEUED
    assert (await jobs.take()).index == 2


@pytest.mark.parametrize(
    ("action", "status", "step"),
    [
        (Action.APPROVE, JobStatus.QUEUED, StepStatus.PASSED),
        (Action.SKIP, JobStatus.QUEUED, StepStatus.SKIPPED),
        (Action.REJECT, JobStatus.FAILED, StepStatus.FAILED),
    ],
)
async def test_a_human_decides_on_an_unknown_outcome(
    jobs: Jobs, action: Action, status: JobStatus, step: StepStatus
) -> None:
    job_id = (await jobs.start(ONCE, AGAIN)).job_id
    await jobs.queue.fail(await jobs.take(), Failure(FailureKind.UNSURE, "no answer"))
    assert await jobs.decide(job_id, 0, action) is status
    assert (await jobs.statuses(job_id))[0] is step


async def test_an_unknown_outcome_is_run_again_when_a_human_says_so(jobs: Jobs) -> None:
    job_id = (await jobs.start(ONCE)).job_id
    await jobs.queue.fail(await jobs.take(), Failure(FailureKind.UNSURE, "no answer"))
    assert await jobs.steer(job_id, Action.RETRY) is JobStatus.QUEUED
    run = await jobs.take()
    assert (run.index, run.record.attempt) == (0, 1)
