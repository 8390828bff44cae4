"""The state machine, on each adapter, against a plain model of it: several workers, with late reports and old turns,
and callers who do whatever they like. What one refuses the other must refuse, and both must agree after every move."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from bureau_contracts.events import EventType
from bureau_contracts.jobs import JobStatus
from services.jobs.errors import IllegalTransition, StepNotWaiting
from services.jobs.states import DECISIONS, FINAL, STEERING, TABLE, Action
from services.jobs.store import Bounds, Failure, FailureKind, LeaseLost, Run
from tests.job_model import MAX_LOSSES, Job, Kind, Lost, NotWaiting, Refused, Turn
from tests.job_stores import Jobs, Open, mine, open_memory, worker

T = TypeVar("T")

LEASE = 0.02
WORKERS = ("ann's", "ben's", "cyd's")
MOST_JOBS = 3
PATIENCE_SECONDS = 5
STEPS: dict[Kind, dict[str, Any]] = {
    Kind.REPEATABLE: {"kind": "agent", "message": "hello"},
    Kind.ONCE: {"kind": "function", "function": "pay"},
    Kind.WAIT: {"kind": "wait", "seconds": 0},
    Kind.BREAKPOINT: {"kind": "breakpoint"},
}
TRANSITIONS = {
    (action, source, to) for action, sources in TABLE.items() for source in sources for to in sources[source]
}

plans = st.lists(st.sampled_from(Kind), min_size=1, max_size=4)
numbers = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, 5, 8, 13])
"""Chooses one of however many there are: often the newest."""
fresh = st.sampled_from([True, True, True, False])
"""A report is most often of the worker that holds the job; else of anybody who ever did."""
steering = st.sampled_from([*STEERING, *(each for each in STEERING if each is not Action.CANCEL for _ in range(3))])
"""Whatever is cancelled is over, so that too much of it shows nothing."""


class Machine(RuleBasedStateMachine):
    """One example: an empty store, and an empty model beside it."""

    runner: asyncio.Runner
    empty: Callable[[], Awaitable[Jobs]]
    seen: set[tuple[Action, JobStatus | None, JobStatus]]

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Job] = {}
        self.runs: list[tuple[Run, Turn]] = []
        """Every run that a worker ever got: it may report under it at any time."""
        self.results = itertools.count(1)
        self.real = self.do(self.empty())

    def do(self, work: Awaitable[T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await work

        return self.runner.get_loop().run_until_complete(bounded())

    def delivered(self) -> list[Turn]:
        return [turn for job in self.jobs.values() for turn in job.turns if turn.message]

    def a_job(self, number: int) -> tuple[str, Job]:
        return list(self.jobs.items())[-1 - number % len(self.jobs)]

    # What happens.

    @precondition(lambda self: len(self.jobs) < MOST_JOBS)
    @rule(plan=plans)
    def start(self, plan: list[Kind]) -> None:
        steps = [STEPS[kind] | {"name": f"s{index}"} for index, kind in enumerate(plan)]
        started = self.do(self.real.start(*steps))
        self.jobs[started.job_id] = job = Job(plan, self.seen)
        assert started.status is job.status

    @precondition(lambda self: any(turn.message is None for job in self.jobs.values() for turn in job.turns))
    @rule(name=st.sampled_from(WORKERS), begin=fresh)
    def fetch(self, name: str, begin: bool) -> None:
        turn = self.fetched()
        if begin:
            self.take_turn(turn, name)

    def fetched(self) -> Turn:
        message = self.do(self.real.message())
        # Jobs that woke at once may come in any order; the turns of one job come in theirs.
        turn = next(turn for turn in self.jobs[message.job_id].turns if turn.message is None)
        turn.message = message
        return turn

    @precondition(lambda self: self.delivered())
    @rule(number=numbers, name=st.sampled_from(WORKERS))
    def take(self, number: int, name: str) -> None:
        turns = self.delivered()
        self.take_turn(turns[-1 - number % len(turns)], name)

    def take_turn(self, turn: Turn, name: str) -> None:
        assert turn.message is not None
        run = self.do(self.real.queue.take(turn.message, name))
        assert (run is not None) is turn.job.take(turn, name)
        self.keep(run, turn)

    @precondition(lambda self: self.runs)
    @rule(number=numbers, held=fresh, keep=st.booleans())
    def commit(self, number: int, held: bool, keep: bool) -> None:
        self.commit_run(*self.a_run(number, held), keep=keep)

    def a_run(self, number: int, held: bool) -> tuple[Run, Turn]:
        holding = [(run, turn) for run, turn in self.runs if turn.job.held_by(turn)]
        runs = holding if held and holding else self.runs
        return runs[-1 - number % len(runs)]

    def commit_run(self, run: Run, turn: Turn, *, keep: bool) -> None:
        result = next(self.results)
        try:
            goes_on = turn.job.commit(turn, run.index, result, keep=keep)
        except Lost:
            with pytest.raises(LeaseLost):
                self.do(self.real.queue.commit(run, str(result), keep=keep))
        else:
            onward = self.do(self.real.queue.commit(run, str(result), keep=keep))
            assert (onward is not None) is goes_on
            self.keep(onward, turn)

    def keep(self, run: Run | None, turn: Turn) -> None:
        if run is not None:
            assert (run.index, run.step.attempts) == (turn.job.cursor, turn.job.attempts[turn.job.cursor])
            self.runs.append((run, turn))

    @precondition(lambda self: self.runs)
    @rule(number=numbers, held=fresh, kind=st.sampled_from(FailureKind))
    def fail(self, number: int, held: bool, kind: FailureKind) -> None:
        run, turn = self.a_run(number, held)
        try:
            turn.job.fail(turn, run.index, kind)
        except Lost:
            with pytest.raises(LeaseLost):
                self.do(self.real.queue.fail(run, Failure(kind, "no")))
        else:
            self.do(self.real.queue.fail(run, Failure(kind, "no")))

    @precondition(lambda self: self.delivered())
    @rule(number=numbers)
    def release(self, number: int) -> None:
        turns = self.delivered()
        turn = turns[-1 - number % len(turns)]
        assert turn.message is not None
        self.do(self.real.queue.release(turn.message))
        turn.job.give_up(turn, Action.RELEASE)

    @precondition(lambda self: any(turn.pending for turn in self.delivered()))
    @rule()
    def lose(self) -> None:
        """Nobody is heard of for a lease."""
        late = [turn for turn in self.delivered() if turn.pending]

        async def swept() -> None:
            count = 0
            while count < len(late):
                count += await self.real.queue.sweep()
            assert count == len(late)

        self.do(swept())
        for turn in late:
            turn.job.give_up(turn, Action.LOSE)

    @precondition(lambda self: self.runs)
    @rule()
    def beat(self) -> None:
        messages = list(dict.fromkeys(run.message for run, _ in self.runs))
        held = {run.message for run, turn in self.runs if turn.job.held_by(turn)}
        lost = self.real.pulse.beat(worker(), messages)
        assert lost == [message for message in messages if message not in held]

    @precondition(lambda self: any(job.status is JobStatus.SCHEDULED for job in self.jobs.values()))
    @rule()
    def wake(self) -> None:
        due = [job for job in self.jobs.values() if job.status is JobStatus.SCHEDULED]
        assert self.do(self.real.queue.wake()) == len(due)
        for job in due:
            job.wake()

    @precondition(lambda self: self.jobs)
    @rule(number=numbers, action=steering)
    def steer(self, number: int, action: Action) -> None:
        job_id, job = self.a_job(number)
        try:
            job.steer(action)
        except Refused:
            with pytest.raises(IllegalTransition):
                self.do(self.real.store.steer(mine(), job_id, action, "ann"))
        else:
            assert self.do(self.real.store.steer(mine(), job_id, action, "ann")) is job.status

    @precondition(lambda self: self.jobs)
    @rule(number=numbers, action=st.sampled_from(DECISIONS), ahead=st.sampled_from([0, 0, 0, 1, -1]))
    def decide(self, number: int, action: Action, ahead: int) -> None:
        job_id, job = self.a_job(number)
        index = min(max(job.cursor + ahead, 0), len(job.kinds) - 1)
        try:
            job.decide(action, index)
        except Refused as refusal:
            expected = StepNotWaiting if isinstance(refusal, NotWaiting) else IllegalTransition
            with pytest.raises(expected):
                self.do(self.real.store.decide(mine(), job_id, index, action, "ann", ""))
        else:
            assert self.do(self.real.store.decide(mine(), job_id, index, action, "ann", "")) is job.status

    # What must hold.

    @invariant()
    def both_agree(self) -> None:
        for job_id, job in self.jobs.items():
            record = self.do(self.real.record(job_id))
            assert (record.status, record.cursor) == (job.status, job.cursor)
            assert [(step.status, step.attempts, step.result) for step in record.steps] == list(
                zip(job.steps, job.attempts, job.results, strict=True)
            )

    def teardown(self) -> None:
        for job_id in self.jobs:
            self.finish(job_id)
            self.check_events(job_id)

    def finish(self, job_id: str) -> None:
        """No job is stuck, whatever was done to it: it can be brought to its end."""
        job = self.jobs[job_id]
        number = len(self.jobs) - 1 - list(self.jobs).index(job_id)
        for _ in range(5 * len(job.kinds) + 5):
            if job.ended:
                return
            if job.status in (JobStatus.PAUSED, JobStatus.PAUSING):
                self.steer(number, Action.RESUME)
            elif job.status is JobStatus.WAITING_APPROVAL:
                self.decide(number, Action.SKIP, 0)
            elif job.status is JobStatus.SCHEDULED:
                self.wake()
            elif job.status is JobStatus.QUEUED:
                while job.turn is not None and job.turn.message is None:
                    self.fetched()
                assert job.turn is not None
                self.take_turn(job.turn, WORKERS[0])
            else:
                run, turn = [each for each in self.runs if each[1] is job.turn][-1]
                self.commit_run(run, turn, keep=True)
            self.both_agree()
        raise AssertionError(f"{job_id} is {job.status} and does not end")

    def check_events(self, job_id: str) -> None:
        events = self.do(self.real.events(job_id))
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        moves = [event for event in events if event.type is EventType.JOB_TRANSITION]
        status: Any = None
        for event in moves:
            before = event.data["from"] if event is not moves[0] else None
            assert before == status, "each begins where the one before has led"
            assert event.status in TABLE[Action(event.data["action"])][before]
            status = JobStatus(event.status)
        assert status in FINAL


@pytest.fixture
def machine(request: pytest.FixtureRequest, open_jobs: Open) -> Iterator[type[Machine]]:
    server = request.getfixturevalue("valkey_server") if open_jobs is not open_memory else None
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()

        bounds = Bounds(lease_seconds=LEASE, max_losses=MAX_LOSSES)
        kept: list[Jobs] = []

        async def empty() -> Jobs:
            if server is None:
                return await opened.enter_async_context(open_jobs(bounds))
            assert server.ask("FLUSHALL") == "+OK"
            if not kept:
                kept.append(await opened.enter_async_context(open_jobs(bounds)))
            await kept[0].queue.open()
            return kept[0]

        class Bound(Machine):
            seen = set()

        Bound.runner, Bound.empty = runner, staticmethod(empty)
        yield Bound
        runner.run(opened.aclose())


def walk(machine: type[Machine], *, examples: int, steps: int, derandomize: bool) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=derandomize, database=None,
            # Shrinking on a real store takes minutes; what failed is short enough to read.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


def test_the_store_does_what_the_model_does(machine: type[Machine]) -> None:
    walk(machine, examples=100, steps=50, derandomize=True)
    assert len(machine.seen) > len(TRANSITIONS) / 3, "few moves were made: this has shown little"


@pytest.mark.chaos
def test_the_store_does_what_the_model_does_for_long(machine: type[Machine]) -> None:
    walk(machine, examples=600, steps=60, derandomize=False)
    missing = sorted(TRANSITIONS - machine.seen, key=str)
    assert len(missing) < len(TRANSITIONS) / 4, f"few moves were made, not one of {missing}"
