"""Who decides on a breakpoint, who sees that it waits, and what becomes of it when nobody does."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import NewStep, StepStatus
from kit.identity import Reach
from services.jobs.errors import JobNotFound, NotAnApprover, StepNotWaiting
from services.jobs.states import Action
from services.jobs.store import Failure, FailureKind, JobList, Verdict
from tests.job_stores import AGENT, ANN, NAP, ONCE, Jobs, mine

CARL, DORA = Reach("acme", "carl"), Reach("acme", "dora")


def breakpoint_for(*approvers: str, **fields: Any) -> dict[str, Any]:
    return {"name": "look", "kind": "breakpoint", "approval": {"approvers": list(approvers)} | fields}


async def inbox(jobs: Jobs, reach: Reach) -> list[str]:
    return [row.job_id for row in (await jobs.page(reach, JobList.INBOX)).jobs]


async def test_whom_a_breakpoint_names_sees_the_job_and_decides(jobs: Jobs) -> None:
    job_id = (await jobs.start(breakpoint_for("carl", "dora"), AGENT)).job_id
    assert (await jobs.store.get(CARL, job_id)).owner == ANN
    assert len((await jobs.store.events(CARL, job_id, after=0, limit=9)).events) == 3
    assert await jobs.store.decide(CARL, job_id, 0, Verdict(Action.APPROVE, "carl", "fine")) is JobStatus.QUEUED
    verdict = (await jobs.record(job_id)).steps[0].verdict
    assert verdict is not None
    assert (verdict["by"], verdict["comment"]) == ("carl", "fine")


@pytest.mark.parametrize("action", [Action.APPROVE, Action.REJECT, Action.SKIP])
async def test_the_owner_does_not_decide_what_others_are_to(jobs: Jobs, action: Action) -> None:
    job_id = (await jobs.start(breakpoint_for("carl"), AGENT)).job_id
    before = await jobs.record(job_id)
    with pytest.raises(NotAnApprover):
        await jobs.decide(job_id, 0, action)
    with pytest.raises(NotAnApprover):
        await jobs.store.decide(Reach("acme", None), job_id, 0, Verdict(action, "olga"))
    assert await jobs.record(job_id) == before


async def test_who_administers_the_tenant_may_decide_all_the_same(jobs: Jobs) -> None:
    job_id = (await jobs.start(breakpoint_for("carl"), AGENT)).job_id
    verdict = Verdict(Action.APPROVE, "root", administers=True)
    assert await jobs.store.decide(Reach("acme", None), job_id, 0, verdict) is JobStatus.QUEUED


async def test_strangers_find_nothing_and_approvers_may_do_nothing_else(jobs: Jobs) -> None:
    job_id = (await jobs.start(breakpoint_for("carl"), AGENT)).job_id
    for stranger in (DORA, Reach("globex", "carl")):
        with pytest.raises(JobNotFound):
            await jobs.store.get(stranger, job_id)
        with pytest.raises(JobNotFound):
            await jobs.store.decide(stranger, job_id, 0, Verdict(Action.APPROVE, stranger.user or ""))
    for action in (Action.PAUSE, Action.CANCEL):
        with pytest.raises(JobNotFound):
            await jobs.store.steer(CARL, job_id, action, "carl")
    with pytest.raises(JobNotFound):
        await jobs.store.edit(
            CARL, await jobs.record(job_id), 1, (await jobs.record(job_id)).steps[1].definition, "x", ""
        )
    assert (await jobs.page(CARL)).jobs == []


async def test_an_approver_decides_on_nothing_but_the_breakpoint(jobs: Jobs) -> None:
    job_id = (await jobs.start(ONCE, breakpoint_for("carl"))).job_id
    await jobs.queue.fail(await jobs.take(), Failure(FailureKind.UNSURE, "no answer"))
    with pytest.raises(NotAnApprover):
        await jobs.store.decide(CARL, job_id, 0, Verdict(Action.APPROVE, "carl"))
    assert await inbox(jobs, CARL) == []
    assert await jobs.decide(job_id, 0, Action.APPROVE) is JobStatus.WAITING_APPROVAL
    with pytest.raises(StepNotWaiting):
        await jobs.decide(job_id, 0, Action.APPROVE)


async def test_nobody_gets_round_an_approver_before_it_is_their_turn(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT, breakpoint_for("carl"))).job_id
    await jobs.steer(job_id, Action.PAUSE)
    seen = await jobs.record(job_id)
    nap = NewStep.model_validate(NAP)
    with pytest.raises(NotAnApprover):
        await jobs.decide(job_id, 1, Action.SKIP)
    with pytest.raises(NotAnApprover):
        await jobs.store.edit(mine(), seen, 1, nap, "ann", "")
    assert await jobs.record(job_id) == seen
    assert await jobs.store.edit(Reach("acme", None), seen, 1, nap, "root", "", administers=True)
    assert await jobs.decide(job_id, 1, Action.SKIP) is JobStatus.PAUSED


async def test_what_waits_for_somebody_is_in_their_inbox_until_it_does_not(jobs: Jobs) -> None:
    first = (await jobs.start(breakpoint_for("carl", "dora"))).job_id
    second = (await jobs.start(breakpoint_for("carl"), breakpoint_for("dora") | {"name": "again"})).job_id
    third = (await jobs.start(AGENT, breakpoint_for("carl"))).job_id
    assert await inbox(jobs, CARL) == [second, first]
    assert await inbox(jobs, DORA) == [first]
    assert await inbox(jobs, mine()) == await inbox(jobs, Reach("globex", "carl")) == []
    await jobs.finish()
    assert await inbox(jobs, CARL) == [third, second, first]

    await jobs.steer(first, Action.PAUSE)
    await jobs.steer(third, Action.CANCEL)
    assert await inbox(jobs, CARL) == [second]
    await jobs.steer(first, Action.RESUME)
    await jobs.store.decide(CARL, second, 0, Verdict(Action.APPROVE, "carl"))
    assert await inbox(jobs, CARL) == [first]
    assert await inbox(jobs, DORA) == [second, first]


@pytest.mark.parametrize(
    ("on_expiry", "status", "step"),
    [
        (None, JobStatus.FAILED, StepStatus.FAILED),
        ("reject", JobStatus.FAILED, StepStatus.FAILED),
        ("approve", JobStatus.QUEUED, StepStatus.PASSED),
        ("skip", JobStatus.QUEUED, StepStatus.SKIPPED),
    ],
)
async def test_a_breakpoint_that_nobody_decides_is_decided_as_it_says(
    jobs: Jobs, on_expiry: str | None, status: JobStatus, step: StepStatus
) -> None:
    said = {"on_expiry": on_expiry} if on_expiry else {}
    job_id = (await jobs.start(breakpoint_for("carl", expires_seconds=0.02, **said), AGENT)).job_id
    await jobs.woken()
    record = await jobs.record(job_id)
    assert (record.status, record.steps[0].status) == (status, step)
    assert record.steps[0].verdict is not None
    assert record.steps[0].verdict["by"] == "nobody"
    assert await inbox(jobs, CARL) == []
    dead = [row.job_id for row in (await jobs.page(mine(), JobList.DEAD)).jobs]
    assert dead == ([job_id] if status is JobStatus.FAILED else [])


async def test_a_breakpoint_says_when_it_expires_and_that_stands_still_while_it_is_paused(jobs: Jobs) -> None:
    job_id = (await jobs.start(breakpoint_for(expires_seconds=0.2))).job_id
    record = await jobs.record(job_id)
    first = record.steps[0].expires_at
    assert first is not None
    assert timedelta(0) < first - record.created_at <= timedelta(seconds=0.25)

    await jobs.steer(job_id, Action.PAUSE)
    assert (await jobs.record(job_id)).steps[0].expires_at is None
    # Another breakpoint's time passes meanwhile.
    other = (await jobs.start(breakpoint_for(expires_seconds=0.25))).job_id
    await jobs.woken()
    assert await jobs.status(other) is JobStatus.FAILED
    assert await jobs.status(job_id) is JobStatus.PAUSED
    await jobs.steer(job_id, Action.RESUME)
    later = (await jobs.record(job_id)).steps[0].expires_at
    assert later is not None
    assert later > first
    await jobs.woken()
    assert await jobs.status(job_id) is JobStatus.FAILED


async def test_a_decision_in_time_stops_the_clock(jobs: Jobs) -> None:
    job_id = (await jobs.start(breakpoint_for(expires_seconds=0.03), AGENT)).job_id
    await jobs.decide(job_id, 0, Action.APPROVE)
    other = (await jobs.start(breakpoint_for(expires_seconds=0.03))).job_id
    await jobs.woken()
    assert await jobs.status(other) is JobStatus.FAILED
    assert await jobs.status(job_id) is JobStatus.QUEUED


async def test_two_approvers_at_once_decide_once(jobs: Jobs) -> None:
    job_id = (await jobs.start(breakpoint_for("carl", "dora"), NAP)).job_id
    answers = await asyncio.gather(
        *(
            jobs.store.decide(reach, job_id, 0, Verdict(Action.APPROVE, reach.user or ""))
            for reach in (CARL, DORA, CARL, DORA)
        ),
        return_exceptions=True,
    )
    assert answers.count(JobStatus.SCHEDULED) == 1


async def test_what_somebody_says_a_step_brought_about_is_its_result(jobs: Jobs) -> None:
    job_id = (await jobs.start(ONCE, AGENT)).job_id
    await jobs.queue.fail(await jobs.take(), Failure(FailureKind.UNSURE, "no answer"))
    await jobs.decide(job_id, 0, Action.APPROVE, "the bank shows it", result={"receipt": 7, "none": []})
    assert (await jobs.take()).scope()["steps"] == {"pay": {"receipt": 7, "none": []}}
