"""Whose job is whose, and how jobs are listed."""

from collections.abc import Callable
from typing import Any

import pytest

from bureau_contracts.jobs import JobStatus
from kit.identity import Owner, Reach
from services.jobs.errors import JobNotFound
from services.jobs.states import STEERING, Action
from services.jobs.store import Verdict
from tests.job_stores import AGENT, BREAKPOINT, Jobs, mine


@pytest.mark.parametrize("stranger", [Reach("acme", "ben"), Reach("globex", "ann"), Reach("globex", None)])
async def test_a_job_outside_of_reach_does_not_exist(jobs: Jobs, stranger: Reach) -> None:
    job_id = (await jobs.start(BREAKPOINT)).job_id
    calls: list[Callable[[], Any]] = [
        lambda: jobs.store.get(stranger, job_id),
        lambda: jobs.store.events(stranger, job_id, after=0, limit=9),
        lambda: jobs.store.decide(stranger, job_id, 0, Verdict(Action.APPROVE, "x")),
        *(lambda action=action: jobs.store.steer(stranger, job_id, action, "x") for action in STEERING),
    ]
    for call in calls:
        with pytest.raises(JobNotFound):
            await call()
    page = await jobs.page(stranger, limit=10, after=None)
    assert page.jobs == []
    assert await jobs.status(job_id) is JobStatus.WAITING_APPROVAL
    assert len(await jobs.events(job_id)) == 3


async def test_a_tenants_reach_sees_every_users_jobs(jobs: Jobs) -> None:
    anns = await jobs.start(AGENT)
    bens = await jobs.start(AGENT, owner=Owner("acme", "ben"))
    await jobs.start(AGENT, owner=Owner("globex", "ann"))
    page = await jobs.page(Reach("acme", None), limit=10, after=None)
    assert [row.job_id for row in page.jobs] == [bens.job_id, anns.job_id]
    assert [row.owner for row in page.jobs] == ["ben", "ann"]


async def test_pages_are_newest_first_and_miss_nothing(jobs: Jobs) -> None:
    started = [(await jobs.start(AGENT)).job_id for _ in range(5)]
    found, after = [], None
    while True:
        page = await jobs.page(mine(), limit=2, after=after)
        found += [row.job_id for row in page.jobs]
        if (after := page.next_after) is None:
            break
    assert found == started[::-1]


async def test_pages_are_filtered_by_status_and_kind(jobs: Jobs) -> None:
    waiting = (await jobs.start(BREAKPOINT, kind="review")).job_id
    queued = (await jobs.start(AGENT, kind="review")).job_id
    await jobs.start(AGENT, kind="other")

    async def found(status: JobStatus | None, kind: str | None) -> list[str]:
        page = await jobs.page(mine(), status=status, kind=kind, limit=10, after=None)
        return [row.job_id for row in page.jobs]

    assert await found(JobStatus.WAITING_APPROVAL, None) == [waiting]
    assert await found(None, "review") == [queued, waiting]
    assert await found(JobStatus.QUEUED, "review") == [queued]
    assert await found(JobStatus.FAILED, None) == []
