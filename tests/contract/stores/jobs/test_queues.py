"""Which job goes next: turns between tenants, priorities within one, limits, and what is too much."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bureau_contracts.jobs import JobStatus, Load
from kit.identity import Owner
from services.jobs.errors import IdempotencyKeyReused, QueueFull
from services.jobs.limits import parse_limits
from services.jobs.states import Action
from services.jobs.store import Bounds, Checkpoint, Failure, FailureKind, Run
from tests.job_stores import AGAIN, AGENT, ANN, LEASE, ONCE, Jobs, Open, mine, new_job
from tests.waiting import eventually

BEN, GUS, ZOE = Owner("acme", "ben"), Owner("globex", "gus"), Owner("zulu", "zoe")


def bounds(limits: str = "", queues: tuple[str, ...] = ("default",)) -> Bounds:
    return Bounds(lease_seconds=LEASE, max_losses=2, queues=queues, limits=parse_limits(limits))


async def all_in_order(jobs: Jobs) -> list[str]:
    """Ends what waits, one job after the other."""
    order = []
    while runs := await jobs.fetch():
        await jobs.queue.commit(runs[0], "1", keep=True)
        order.append(runs[0].record.job_id)
    return order


async def test_who_came_first_goes_first(jobs: Jobs) -> None:
    started = [(await jobs.start(AGENT)).job_id for _ in range(12)]
    assert await all_in_order(jobs) == started


async def test_of_one_tenant_the_highest_priority_goes_first(jobs: Jobs) -> None:
    low, high, middle, also_high = [
        (await jobs.start(AGENT, priority=priority, owner=owner)).job_id
        for priority, owner in ((0, ANN), (9, BEN), (5, ANN), (9, ANN))
    ]
    assert await all_in_order(jobs) == [high, also_high, middle, low]


async def test_tenants_take_turns_whatever_their_priorities(jobs: Jobs) -> None:
    many = [(await jobs.start(AGENT, priority=9)).job_id for _ in range(4)]
    few = [(await jobs.start(AGENT, priority=0, owner=GUS)).job_id for _ in range(2)]
    assert await all_in_order(jobs) == [many[0], few[0], many[1], few[1], *many[2:]]


async def test_a_tenant_that_always_has_one_job_waiting_does_not_starve_another(jobs: Jobs) -> None:
    """It is the first by name, and comes again whenever it was served."""
    others = [(await jobs.start(AGENT, owner=GUS)).job_id for _ in range(3)]
    await jobs.start(AGENT)
    served = []
    for _ in range(6):
        run = await jobs.take()
        served.append(run.record.owner.tenant)
        if run.record.owner == ANN:
            await jobs.start(AGENT)
    assert served.count("globex") == len(others)


async def test_who_was_away_has_not_saved_up_turns(jobs: Jobs) -> None:
    await jobs.start(AGENT, owner=ZOE)
    await jobs.take()
    for _ in range(12):
        await jobs.start(AGENT, owner=GUS)
    for _ in range(6):
        await jobs.take()
    for _ in range(4):
        await jobs.start(AGENT, owner=ZOE)
    assert [(await jobs.take()).record.owner for _ in range(4)].count(ZOE) == 2


async def test_a_tenant_that_a_limit_held_up_has_not_saved_up_turns(open_jobs: Open) -> None:
    async with open_jobs(bounds("tenant:zulu concurrency=1")) as jobs:
        await jobs.start(AGENT, owner=ZOE)
        holding = await jobs.take()
        for _ in range(4):
            await jobs.start(AGENT, owner=ZOE)
        for _ in range(9):
            await jobs.start(AGENT, owner=GUS)
        for _ in range(6):
            assert (await jobs.take()).record.owner == GUS
        await jobs.queue.commit(holding, "1", keep=True)
        served = []
        for _ in range(4):
            run = await jobs.take()
            served.append(run.record.owner)
            await jobs.queue.commit(run, "1", keep=True)
        assert served.count(ZOE) == 2


@pytest.mark.parametrize("way", ["paused", "released", "lost", "retried later"])
async def test_a_job_that_was_interrupted_comes_back_to_its_old_place(jobs: Jobs, way: str) -> None:
    first = (await jobs.start(AGENT)).job_id
    run = await jobs.take()
    second = (await jobs.start(AGENT)).job_id
    if way == "paused":
        await jobs.steer(first, Action.PAUSE)
        assert not await jobs.queue.checkpoint(run, Checkpoint())
        await jobs.steer(first, Action.RESUME)
    elif way == "released":
        await jobs.queue.release(run.claim, begun=True)
    elif way == "lost":
        await jobs.swept()
    else:
        await jobs.queue.fail(run, Failure(FailureKind.RETRY, "busy"))
        await jobs.woken()
    assert await all_in_order(jobs) == [first, second]


async def test_a_worker_takes_from_its_queues_in_rotation(open_jobs: Open) -> None:
    async with open_jobs(bounds(queues=("default", "mail"))) as jobs:
        for queue in ("default", "default", "default", "mail", "mail"):
            await jobs.start(AGENT, queue=queue)
        taken = [(await jobs.take()).record.start.queue for _ in range(5)]
        assert {*taken[:2]} == {*taken[2:4]} == {"default", "mail"}


async def test_a_worker_that_waits_is_woken_by_a_new_job(jobs: Jobs) -> None:
    async def later() -> None:
        await jobs.start(AGENT)

    waiting = asyncio.create_task(jobs.fetch(1, 5))
    await asyncio.sleep(0)
    async with asyncio.timeout(4):
        await later()
        assert len(await waiting) == 1


LIMITS: dict[str, tuple[str, dict[str, Any]]] = {
    "queue": ("queue:default concurrency=1", {}),
    "kind": ("kind:import concurrency=1", {"kind": "import"}),
    "tenant": ("tenant:acme concurrency=1", {}),
    "everyone": ("tenant:* concurrency=1", {}),
}


@pytest.mark.parametrize("what", LIMITS)
async def test_no_more_run_at_once_than_may(open_jobs: Open, what: str) -> None:
    limits, said = LIMITS[what]
    async with open_jobs(bounds(limits, ("default", "free"))) as jobs:
        for _ in range(3):
            await jobs.start(AGENT, **said)
        held = await jobs.fetch(10)
        assert len(held) == 1
        assert await jobs.nothing_queued()
        await jobs.queue.commit(held[0], "1", keep=True)
        assert len(await jobs.fetch(10)) == 1


async def test_what_a_limit_holds_up_is_not_in_the_way_of_others(open_jobs: Open) -> None:
    limits = "kind:import concurrency=1; tenant:globex concurrency=0; queue:shut concurrency=0"
    async with open_jobs(bounds(limits, ("default", "shut"))) as jobs:
        first = (await jobs.start(AGENT, kind="import", priority=9)).job_id
        await jobs.start(AGENT, kind="import", priority=9)
        await jobs.start(AGENT, owner=GUS)
        await jobs.start(AGENT, queue="shut")
        plain = (await jobs.start(AGENT, priority=0)).job_id
        assert [run.record.job_id for run in await jobs.fetch(10)] == [first, plain]


Leave = Callable[[Jobs, Run], Awaitable[Any]]


async def _lost(jobs: Jobs, run: Run) -> None:
    await jobs.swept()
    await jobs.steer(run.record.job_id, Action.PAUSE)


async def _timed_out(jobs: Jobs, run: Run) -> None:
    await jobs.woken()


async def _paused(jobs: Jobs, run: Run) -> None:
    await jobs.steer(run.record.job_id, Action.PAUSE)
    assert not await jobs.queue.checkpoint(run, Checkpoint())


async def _released(jobs: Jobs, run: Run) -> None:
    await jobs.queue.release(run.claim, begun=True)
    await jobs.steer(run.record.job_id, Action.PAUSE)


WAYS: dict[str, Leave] = {
    "commit": lambda jobs, run: jobs.queue.commit(run, "1", keep=True),
    "retry": lambda jobs, run: jobs.queue.fail(run, Failure(FailureKind.RETRY, "x", 3600)),
    "failed": lambda jobs, run: jobs.queue.fail(run, Failure(FailureKind.FAILED, "x")),
    "unsure": lambda jobs, run: jobs.queue.fail(run, Failure(FailureKind.UNSURE, "x")),
    "cancelled": lambda jobs, run: jobs.steer(run.record.job_id, Action.CANCEL),
    "paused": _paused,
    "released": _released,
    "lost": _lost,
    "timed out": _timed_out,
    "fanned out": lambda jobs, run: jobs.queue.fan_out(
        run, [new_job(AGENT, parent_id=run.record.job_id, queue="away")], parallel=1, partial=False
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_whichever_way_a_job_leaves_its_worker_another_may_run(open_jobs: Open, way: str) -> None:
    async with open_jobs(bounds("queue:default concurrency=1; tenant:* concurrency=1", ("default",))) as jobs:
        deadline: dict[str, Any] = {"deadline_seconds": 0.01} if way == "timed out" else {}
        await jobs.start(AGENT, **deadline)
        run = await jobs.take()
        other = (await jobs.start(AGENT)).job_id
        assert await jobs.nothing_queued()
        await WAYS[way](jobs, run)
        assert (await jobs.take()).record.job_id == other
        (load,) = await jobs.store.queues("acme")
        assert (load.own.running, load.everybody.running) == (1, 1)


async def test_jobs_begin_at_their_rate_a_burst_at_first(open_jobs: Open) -> None:
    async with open_jobs(bounds("queue:default rate=3/1")) as jobs:
        for _ in range(5):
            await jobs.start(AGENT)
        assert len(await jobs.fetch(10)) == 3

        async def one_more() -> bool:
            return len(await jobs.fetch(10)) == 1

        assert not await one_more()
        await eventually(one_more, seconds=2)
        await eventually(one_more, seconds=2)


async def test_a_rate_is_of_jobs_that_begin_not_of_their_turns(open_jobs: Open) -> None:
    async with open_jobs(bounds("tenant:* rate=1/3600")) as jobs:
        first = (await jobs.start(AGENT, AGAIN)).job_id
        await jobs.start(AGENT)
        await jobs.queue.commit(await jobs.take(), "1", keep=False)
        run = await jobs.take()
        assert (run.record.job_id, run.index) == (first, 1)
        await jobs.queue.commit(run, "1", keep=True)
        assert await jobs.nothing_queued()


@pytest.mark.parametrize("limits", ["queue:default depth=2", "kind:runbook depth=2", "tenant:acme depth=2"])
async def test_when_too_much_waits_more_is_refused_and_not_started(open_jobs: Open, limits: str) -> None:
    async with open_jobs(bounds(limits)) as jobs:
        await jobs.start(AGENT, key="known")
        await jobs.start(AGENT)
        with pytest.raises(QueueFull, match="2 jobs wait already"):
            await jobs.start(AGENT, key="new")
        assert len((await jobs.page()).jobs) == 2
        assert not (await jobs.start(AGENT, key="known")).created, "what is there already is not more"
        await jobs.take()
        assert (await jobs.start(AGENT, key="new")).created


async def test_a_batch_is_started_whole_or_not_at_all(open_jobs: Open) -> None:
    async with open_jobs(bounds("queue:mail depth=1", ("default", "mail"))) as jobs:
        fits = [new_job(AGENT, queue="mail"), new_job(AGENT), new_job(AGENT)]
        assert [each.created for each in await jobs.store.start(fits)] == [True] * 3
        with pytest.raises(QueueFull):
            await jobs.store.start([new_job(AGENT), new_job(AGENT, queue="mail")])
        await jobs.start(AGENT, key="k")
        with pytest.raises(IdempotencyKeyReused):
            await jobs.store.start([new_job(AGENT), new_job(AGAIN, key="k")])
        assert len((await jobs.page()).jobs) == 4


async def test_queues_tell_what_waits_and_runs_and_since_when(open_jobs: Open) -> None:
    async with open_jobs(bounds(queues=("default", "mail"))) as jobs:
        await jobs.start(AGENT)
        await jobs.start(AGENT, owner=GUS)
        await jobs.start(ONCE, queue="mail", owner=GUS)
        await jobs.take()
        paused = (await jobs.start(AGENT)).job_id
        await jobs.steer(paused, Action.PAUSE)

        async def waits() -> bool:
            default, _ = await jobs.store.queues("acme")
            return default.everybody.oldest_seconds > 0.01

        await eventually(waits)
        default, mail = await jobs.store.queues("acme")
        assert (default.queue, mail.queue) == ("default", "mail")
        assert default.own.waiting + default.own.running == 1
        both = default.everybody.waiting + mail.everybody.waiting, default.everybody.running + mail.everybody.running
        assert both == (2, 1)
        assert (mail.own.waiting, mail.own.oldest_seconds) == (0, 0)


async def test_who_comes_back_to_its_place_has_waited_only_since_then(jobs: Jobs) -> None:
    first, second, urgent = [(await jobs.start(AGENT, priority=priority)).job_id for priority in (5, 5, 9)]

    async def load() -> Load:
        return (await jobs.store.queues("acme"))[0].own

    async def have_waited() -> bool:
        return (await load()).oldest_seconds > 0.5

    await eventually(have_waited)
    for job_id in (first, urgent):
        await jobs.steer(job_id, Action.PAUSE)
        await jobs.steer(job_id, Action.RESUME)
    assert ((await load()).waiting, await have_waited()) == (3, True)
    await jobs.steer(second, Action.PAUSE)
    assert ((await load()).waiting, await have_waited()) == (2, False)
    assert [await jobs.finish(), await jobs.finish()] == [urgent, first]


async def test_a_paused_job_has_left_its_line(jobs: Jobs) -> None:
    job_id = (await jobs.start(AGENT)).job_id
    await jobs.steer(job_id, Action.PAUSE)
    (load,) = await jobs.store.queues("acme")
    assert load.everybody.waiting == 0
    assert await jobs.store.steer(mine(), job_id, Action.CANCEL, "ann") is JobStatus.CANCELLED
