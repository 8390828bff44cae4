"""The worker's engine over the in-memory store: what it does with a step's result, failure, end and its own."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import NewStep, StepKind, StepStatus
from kit.identity import Owner, current_principal
from kit.redis import connect
from kit.tasks import background
from kit.telemetry import Telemetry, current_trace_id
from services.jobs.engine import Engine, Manner
from services.jobs.errors import StoreAway
from services.jobs.execution import Executor
from services.jobs.library import PREFIX
from services.jobs.queue_memory import MemoryPulse, MemoryWorkQueue
from services.jobs.records import WorkerRecord
from services.jobs.states import Action
from services.jobs.steps import OutcomeUnknown, StepContext, StepFailed, TryLater
from services.jobs.store import Bounds, Claim, NewJob, Run
from services.jobs.store_memory import MemoryJobs
from tests.job_stores import AGAIN, AGENT, ONCE, Jobs, jobs_in, open_redis
from tests.waiting import eventually

Act = Callable[[NewStep, StepContext], Awaitable[Any]]
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Scripted:
    """Runs whatever the test says, and remembers what it was asked."""

    def __init__(self, act: Act) -> None:
        self._act = act
        self.seen: list[tuple[NewStep, StepContext]] = []

    async def run(self, step: NewStep, context: StepContext) -> Any:
        self.seen.append((step, context))
        return await self._act(step, context)


async def echo(step: NewStep, _: StepContext) -> Any:
    return {"said": step.message}


@pytest.fixture
def memory() -> MemoryJobs:
    return MemoryJobs(Bounds(lease_seconds=0.4))


@pytest.fixture
def jobs(memory: MemoryJobs) -> Jobs:
    return jobs_in(memory)


def engine(jobs: Jobs, runner: Scripted, *, max_result_bytes: int = 10_000, **manner: Any) -> Engine:
    runners = {StepKind.AGENT: runner, StepKind.FUNCTION: runner}
    return Engine(
        queue=jobs.queue, pulse=jobs.pulse, telemetry=Telemetry("tests"), worker_id="w",
        executor=Executor(runners, max_result_bytes=max_result_bytes, retry_first_seconds=0.01),
        manner=Manner(**{"lease_seconds": 0.4, "shutdown_seconds": 0.2} | manner),
    )  # fmt: skip


@asynccontextmanager
async def working(jobs: Jobs, act: Act, **manner: Any) -> AsyncIterator[Scripted]:
    runner, stop = Scripted(act), asyncio.Event()
    ended = asyncio.Event()

    async def run() -> None:
        await engine(jobs, runner, **manner).run(stop)
        ended.set()

    async with background(run()):
        yield runner
        stop.set()
        async with asyncio.timeout(5):
            await ended.wait()


async def until(jobs: Jobs, job_id: str, status: JobStatus) -> None:
    async def reached() -> bool:
        return (await jobs.record(job_id)).status is status

    await eventually(reached, seconds=5)


async def test_steps_run_in_order_and_see_what_came_before(jobs: Jobs) -> None:
    async with working(jobs, echo) as runner:
        second = AGAIN | {"message": "you said {{ steps.ask.said }} in {{ input.month }}"}
        job_id = (await jobs.start(AGENT, second, input={"month": "May"}, autonomy_level="L1")).job_id
        await until(jobs, job_id, JobStatus.SUCCEEDED)
    assert [step.message for step, _ in runner.seen] == ["hello", "you said hello in May"]
    (_, first), _ = runner.seen
    assert (first.job_id, first.index, first.attempt, first.run, first.autonomy_level) == (job_id, 0, 1, 1, "L1")
    assert (await jobs.record(job_id)).steps[1].result == {"said": "you said hello in May"}


async def test_a_step_runs_as_the_jobs_owner_within_its_trace(jobs: Jobs) -> None:
    seen = []

    async def look(*_: object) -> None:
        seen.append((current_principal(), current_trace_id()))

    async with working(jobs, look):
        job = (await jobs.start(AGENT)).job_id
        await until(jobs, job, JobStatus.SUCCEEDED)
        start = (await jobs.record(job)).start
        traced = NewJob("job-t", Owner("globex", "gus"), "gus", start, traceparent=f"00-{TRACE}-b7ad6b7169203331-00")
        await jobs.store.start([traced])
        await until_of(jobs, "job-t", Owner("globex", "gus"))
    (ann, _), (gus, trace) = seen
    assert (ann.tenant, ann.subject, ann.scopes) == ("acme", "ann", frozenset())
    assert (gus.tenant, gus.subject, trace) == ("globex", "gus", TRACE)


async def until_of(jobs: Jobs, job_id: str, owner: Owner) -> None:
    async def reached() -> bool:
        return (await jobs.record(job_id, owner)).status is JobStatus.SUCCEEDED

    await eventually(reached, seconds=5)


@pytest.mark.parametrize("refusal", [TryLater("busy"), OutcomeUnknown("no answer"), TimeoutError("slow")])
async def test_what_may_succeed_later_is_tried_again(jobs: Jobs, refusal: Exception) -> None:
    async def third_time(step: NewStep, context: StepContext) -> int:
        if context.attempt < 3:
            raise refusal
        return context.attempt

    async with working(jobs, third_time):
        job_id = (await jobs.start(AGENT)).job_id
        await until(jobs, job_id, JobStatus.SUCCEEDED)
    assert (await jobs.record(job_id)).steps[0].result == 3


async def test_attempts_are_bounded(jobs: Jobs) -> None:
    async def busy(*_: object) -> None:
        raise TryLater("busy")

    async with working(jobs, busy) as runner:
        job_id = (await jobs.start(AGENT | {"max_attempts": 2})).job_id
        await until(jobs, job_id, JobStatus.FAILED)
    assert len(runner.seen) == 2
    assert (await jobs.record(job_id)).error == "busy"


@pytest.mark.parametrize(
    ("failure", "error"), [(StepFailed("no such ticket"), "no such ticket"), (KeyError("bug"), "KeyError('bug')")]
)
async def test_other_failures_are_final(jobs: Jobs, failure: Exception, error: str) -> None:
    async def broken(*_: object) -> None:
        raise failure

    async with working(jobs, broken) as runner:
        job_id = (await jobs.start(AGENT, AGAIN)).job_id
        await until(jobs, job_id, JobStatus.FAILED)
    assert len(runner.seen) == 1
    assert (await jobs.record(job_id)).steps[0].error == error


async def test_a_step_that_takes_too_long_is_stopped(jobs: Jobs) -> None:
    async def forever(*_: object) -> None:
        await asyncio.Event().wait()

    async with working(jobs, forever):
        job_id = (await jobs.start(AGENT | {"timeout_seconds": 0.02, "max_attempts": 1})).job_id
        await until(jobs, job_id, JobStatus.FAILED)
    assert (await jobs.record(job_id)).error == "no result within 0.02 s"


async def test_a_step_that_may_not_be_repeated_is_not_tried_again_when_nobody_answers(jobs: Jobs) -> None:
    async def silent(*_: object) -> None:
        raise OutcomeUnknown("no answer")

    async with working(jobs, silent) as runner:
        job_id = (await jobs.start(ONCE)).job_id
        await until(jobs, job_id, JobStatus.WAITING_APPROVAL)
    assert len(runner.seen) == 1
    assert (await jobs.record(job_id)).steps[0].status is StepStatus.UNKNOWN_OUTCOME


async def test_a_reference_that_leads_nowhere_fails_the_step_and_says_which(jobs: Jobs) -> None:
    async with working(jobs, echo) as runner:
        job_id = (await jobs.start(AGENT, AGAIN | {"message": "{{ steps.ask.missing }}"})).job_id
        await until(jobs, job_id, JobStatus.FAILED)
    assert len(runner.seen) == 1
    assert (await jobs.record(job_id)).error == "{{ steps.ask.missing }} leads nowhere: there is no 'missing'"


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (object(), "cannot be written as JSON"),
        (float("nan"), "cannot be written as JSON"),
        ("\ud800", "cannot be written as JSON"),
        ("x" * 2000, "the result has 2002 bytes; at most 1024 are kept"),
        (json.loads("[" * 65 + "]" * 65), "the result nests deeper than 64 levels"),
    ],
)
async def test_a_result_that_cannot_be_kept_fails_the_step(jobs: Jobs, result: Any, error: str) -> None:
    async def give(*_: object) -> Any:
        return result

    async with working(jobs, give, max_result_bytes=1024):
        job_id = (await jobs.start(AGENT)).job_id
        await until(jobs, job_id, JobStatus.FAILED)
    assert error in ((await jobs.record(job_id)).error or "")


async def test_an_error_text_that_cannot_be_stored_is_made_storable(jobs: Jobs) -> None:
    async def odd(*_: object) -> None:
        raise StepFailed("odd \ud800 " + "x" * 5000)

    async with working(jobs, odd):
        job_id = (await jobs.start(AGENT)).job_id
        await until(jobs, job_id, JobStatus.FAILED)
    error = (await jobs.record(job_id)).error or ""
    assert error.startswith("odd ? xxx")
    assert len(error) == 2000


async def at_once(_: NewStep, context: StepContext) -> None:
    """Pauses in the midst of several things."""

    async def part() -> None:
        while True:
            await context.checkpoint(progress=0.5)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        group.create_task(part())
        group.create_task(part())


async def test_a_function_that_does_several_things_at_once_is_paused_and_nothing_else(jobs: Jobs) -> None:
    async with working(jobs, at_once, concurrency=2) as runner:
        job_id = (await jobs.start(ONCE)).job_id
        await eventually(lambda: bool(runner.seen))
        await jobs.steer(job_id, Action.PAUSE)
        await until(jobs, job_id, JobStatus.PAUSED)
        await jobs.steer(job_id, Action.RESUME)
        await eventually(lambda: len(runner.seen) == 2)
        await jobs.steer(job_id, Action.CANCEL)


async def test_a_function_that_would_end_the_process_ends_its_step(jobs: Jobs) -> None:
    async def leave(step: NewStep, context: StepContext) -> str:
        if step.kind is StepKind.FUNCTION:
            raise SystemExit(2)
        return "here"

    async with working(jobs, leave):
        job_id = (await jobs.start(ONCE)).job_id
        await until(jobs, job_id, JobStatus.FAILED)
        await until(jobs, (await jobs.start(AGENT)).job_id, JobStatus.SUCCEEDED)
    assert (await jobs.record(job_id)).error == "SystemExit(2)"


async def test_a_function_that_catches_everything_does_not_go_on_with_a_job_of_somebody_else(jobs: Jobs) -> None:
    went_on = []

    async def stubborn(_: NewStep, context: StepContext) -> None:
        await jobs.steer(context.job_id, Action.CANCEL)
        try:
            await context.checkpoint("half")
        except Exception as error:  # noqa: BLE001 - as authors of functions do
            went_on.append(error)

    async with working(jobs, stubborn) as runner:
        job_id = (await jobs.start(ONCE)).job_id
        await until(jobs, job_id, JobStatus.CANCELLED)
        await until(jobs, job_id, JobStatus.CANCELLED)
        await eventually(lambda: bool(runner.seen))
    assert went_on == []


class Half(float):
    """As the numbers of numeric libraries do, it writes itself in a way of its own."""

    def __repr__(self) -> str:
        return "Half(0.5)"


async def test_what_a_checkpoint_says_can_be_kept_and_read(redis_url: str) -> None:
    """A name of a file, say, may hold what cannot be encoded."""

    async def odd(_: NewStep, context: StepContext) -> Any:
        if context.state is None:
            await context.checkpoint({"last": "\udcff.txt"}, progress=Half(0.5), note="\udcff.txt")
            await asyncio.Event().wait()
        return context.state["last"] == "\udcff.txt"

    async with open_redis(Bounds(lease_seconds=0.4), redis_url) as jobs:
        async with working(jobs, odd):
            job_id = (await jobs.start(ONCE | {"repeatable": True})).job_id

            async def told() -> bool:
                return (await jobs.record(job_id)).steps[0].progress == 0.5

            await eventually(told, seconds=5)
            assert (await jobs.record(job_id)).steps[0].note == "?.txt"
        async with working(jobs, odd):
            await until(jobs, job_id, JobStatus.SUCCEEDED)
        assert (await jobs.record(job_id)).steps[0].result is True


async def test_a_job_that_cannot_be_read_ends_no_worker(redis_url: str) -> None:
    async with open_redis(Bounds(lease_seconds=0.4), redis_url) as jobs, connect(redis_url) as redis:
        broken = (await jobs.start(AGENT)).job_id
        # As a newer version may write it.
        await redis.hset(f"{PREFIX}job:acme:{broken}", "start", '{"of": "tomorrow"}')
        sound = (await jobs.start(AGENT)).job_id
        async with working(jobs, echo):
            await until(jobs, sound, JobStatus.SUCCEEDED)


class Broken(MemoryWorkQueue):
    """What it does for all fails for good, and every other fetch."""

    async def fetch(self, worker_id: str, number: int, count: int, wait_seconds: float) -> list[Run]:
        self.fetches = getattr(self, "fetches", 0) + 1
        if self.fetches % 2:
            raise ValueError("fetch")
        return await super().fetch(worker_id, number, count, wait_seconds)

    async def wake(self) -> int:
        raise ValueError("wake")


async def test_a_queue_that_breaks_ends_no_worker(memory: MemoryJobs) -> None:
    jobs = replace(jobs_in(memory), queue=Broken(memory))
    lost = (await jobs.start(AGENT)).job_id
    await jobs_in(memory).fetch()
    async with working(jobs, echo):
        await until(jobs, (await jobs.start(AGENT)).job_id, JobStatus.SUCCEEDED)
        # Who cannot be woken does not keep others from being missed.
        await until(jobs, lost, JobStatus.SUCCEEDED)


async def test_no_more_jobs_run_at_once_than_there_are_hands(jobs: Jobs) -> None:
    running, most, go = 0, 0, asyncio.Event()

    async def count(*_: object) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1

    async with working(jobs, count, concurrency=2) as runner:
        ids = [(await jobs.start(AGENT)).job_id for _ in range(5)]
        await eventually(lambda: len(runner.seen) == 2)
        go.set()
        for job_id in ids:
            await until(jobs, job_id, JobStatus.SUCCEEDED)
    assert most == 2


async def test_cancelling_a_job_stops_its_step(jobs: Jobs) -> None:
    stopped = asyncio.Event()

    async def forever(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with working(jobs, forever) as runner:
        job_id = (await jobs.start(AGENT)).job_id
        await eventually(lambda: bool(runner.seen))
        await jobs.steer(job_id, Action.CANCEL)
        async with asyncio.timeout(5):
            await stopped.wait()
        other = (await jobs.start(AGENT)).job_id
        await eventually(lambda: len(runner.seen) == 2)
    assert (await jobs.record(job_id)).status is JobStatus.CANCELLED
    assert (await jobs.record(other)).status is JobStatus.QUEUED


async def test_a_blocked_event_loop_costs_no_lease(jobs: Jobs, memory: MemoryJobs) -> None:
    """Another worker sweeps all the while, from its own thread."""
    blocked, done, swept = threading.Event(), threading.Event(), []

    def sweep_meanwhile() -> None:
        blocked.wait(5)
        while not done.wait(0.05):
            swept.append(asyncio.run(MemoryWorkQueue(memory).sweep()))

    async def block(*_: object) -> str:
        blocked.set()
        threading.Event().wait(1.2)  # three leases, and the loop does not turn
        return "done"

    sweeper = threading.Thread(target=sweep_meanwhile)
    sweeper.start()
    async with working(jobs, block) as runner:
        job_id = (await jobs.start(AGENT)).job_id
        await until(jobs, job_id, JobStatus.SUCCEEDED)
        done.set()
    sweeper.join(5)
    assert len(runner.seen) == 1
    assert len(swept) > 5
    assert not any(swept)


async def test_a_worker_that_stops_finishes_what_is_short(jobs: Jobs) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def short(*_: object) -> str:
        begun.set()
        await go.wait()
        return "done"

    async with working(jobs, short, shutdown_seconds=5):
        job_id = (await jobs.start(AGENT, AGAIN)).job_id
        await begun.wait()
        asyncio.get_running_loop().call_later(0.1, go.set)
    record = await jobs.record(job_id)
    assert (record.status, record.cursor) == (JobStatus.QUEUED, 1)
    assert record.steps[0].result == "done"


@pytest.mark.parametrize(
    ("step", "status"), [(AGENT, JobStatus.QUEUED), (ONCE, JobStatus.WAITING_APPROVAL)], ids=["repeatable", "once"]
)
async def test_a_worker_that_stops_hands_over_what_is_long(jobs: Jobs, step: dict[str, Any], status: JobStatus) -> None:
    async def forever(*_: object) -> None:
        await asyncio.Event().wait()

    async with working(jobs, forever) as runner:
        job_id = (await jobs.start(step)).job_id
        await eventually(lambda: bool(runner.seen))
    assert (await jobs.record(job_id)).status is status
    assert await jobs.store.workers() == []


class Flaky(MemoryWorkQueue):
    """A queue that is away every other time."""

    calls = 0

    def _maybe_away(self) -> None:
        Flaky.calls += 1
        if Flaky.calls % 2:
            raise StoreAway("away")

    async def fetch(self, worker_id: str, number: int, count: int, wait_seconds: float) -> list[Run]:
        """Its answer gets lost: what it gave is the worker's all the same."""
        found = await super().fetch(worker_id, number, count, wait_seconds)
        self._maybe_away()
        return found

    async def commit(self, run: Run, result: str, *, keep: bool, cost: float = 0) -> Run | None:
        onward = await super().commit(run, result, keep=keep, cost=cost)
        self._maybe_away()
        return onward


async def test_what_a_step_did_is_recorded_when_the_queue_comes_back() -> None:
    memory = MemoryJobs(Bounds())
    jobs = replace(jobs_in(memory), queue=Flaky(memory))
    async with working(jobs, echo) as runner:
        job_id = (await jobs.start(AGENT, AGAIN)).job_id
        await until(jobs, job_id, JobStatus.SUCCEEDED)
    assert len(runner.seen) == 2
    assert [step.attempts for step in (await jobs.record(job_id)).steps] == [1, 1]


async def test_a_heart_that_fails_beats_on(memory: MemoryJobs) -> None:
    class Fluttering(MemoryPulse):
        beats = 0

        def beat(self, worker: WorkerRecord, held: Any) -> list[Claim]:
            Fluttering.beats += 1
            if Fluttering.beats < 3:
                raise StoreAway("away")
            return super().beat(worker, held)

    jobs = replace(jobs_in(memory), pulse=Fluttering(memory))

    async def seen() -> bool:
        return len(await jobs.store.workers()) == 1

    async with working(jobs, echo):
        await eventually(seen, seconds=5)
