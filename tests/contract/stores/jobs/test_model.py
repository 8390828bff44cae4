"""The state machine, on each adapter, against a plain model of it: several workers, with late reports and old claims,
several queues and tenants with limits, maps with their children, and callers who do whatever they like. What one
refuses the other must refuse, and both must agree after every move."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from bureau_contracts.events import EventType
from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import NewStep
from kit.identity import Owner
from services.jobs.errors import ChildOfMap, IllegalTransition, StepNotFound, StepNotWaiting
from services.jobs.limits import SCOPES, parse_limits
from services.jobs.states import DECISIONS, FINAL, HELD, STEERING, TABLE, Action
from services.jobs.step_map import children_of
from services.jobs.store import Bounds, Checkpoint, Failure, FailureKind, LeaseLost, Run, Verdict
from tests.job_model import (
    MAPS,
    MAX_LOSSES,
    Job,
    Kind,
    Lost,
    NoStep,
    NotWaiting,
    OthersToRetry,
    Refused,
    StepModel,
    Turn,
    World,
)
from tests.job_stores import ANN, Jobs, Open, mine, open_memory, worker

T = TypeVar("T")

LEASE = 0.02
WORKERS = ("ann's", "ben's", "cyd's")
OWNERS = {"acme": ANN, "globex": Owner("globex", "gus")}
QUEUES = ("default", "narrow")
LIMITS = parse_limits("queue:narrow concurrency=1; kind:rare concurrency=1; tenant:globex concurrency=2")
BOUNDS = Bounds(lease_seconds=LEASE, max_losses=MAX_LOSSES, queues=QUEUES, limits=LIMITS)
MOST_JOBS = 3
PATIENCE_SECONDS = 5
STEPS: dict[Kind, dict[str, Any]] = {
    Kind.REPEATABLE: {"kind": "agent", "message": "hello"},
    Kind.ONCE: {"kind": "function", "function": "pay"},
    Kind.WAIT: {"kind": "wait", "seconds": 0},
    Kind.BREAKPOINT: {"kind": "breakpoint"},
}


def a_step(kind: Kind, index: int) -> dict[str, Any]:
    name = {"name": f"s{index}"}
    if kind not in MAPS:
        return STEPS[kind] | name
    over = MAPS[kind]
    steps = [a_step(each, number) for number, each in enumerate(over.plan)]
    said = {"items": list(range(over.items)), "steps": steps, "parallel": over.parallel, "partial": over.partial}
    return name | {"kind": "map", "map": said}


TRANSITIONS = {
    (action, source, to) for action, sources in TABLE.items() for source in sources for to in sources[source]
}
ERRORS: dict[type[Exception], type[Exception]] = {
    Refused: IllegalTransition, NotWaiting: StepNotWaiting, NoStep: StepNotFound, OthersToRetry: ChildOfMap,
}  # fmt: skip
"""What the store says where the model refuses."""

plans = st.lists(st.sampled_from(Kind), min_size=1, max_size=4)
numbers = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, 5, 8, 13])
"""Chooses one of however many there are: often the newest."""
fresh = st.sampled_from([True, True, True, False])
"""A report is most often of the worker that holds the job; else of anybody who ever did."""
steering = st.sampled_from([*STEERING, *(each for each in STEERING if each is not Action.CANCEL for _ in range(3))])
"""Whatever is cancelled is over, so that too much of it shows nothing."""
rarely = st.sampled_from([False] * 9 + [True])


class Machine(RuleBasedStateMachine):
    """One example: an empty store, and an empty model beside it."""

    runner: asyncio.Runner
    empty: Callable[[], Awaitable[Jobs]]
    seen: set[tuple[Action, JobStatus | None, JobStatus]]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(seen=self.seen)
        self.started = 0
        self.runs: list[tuple[Run, Turn]] = []
        """Every run that a worker ever got: it may report under it at any time."""
        self.results, self.fetches = itertools.count(1), itertools.count()
        self.real = self.do(self.empty())

    @property
    def jobs(self) -> dict[str, Job]:
        return self.world.jobs

    def do(self, work: Awaitable[T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await work

        return self.runner.get_loop().run_until_complete(bounded())

    def both(self, model: Callable[[], Any], real: Callable[[], Awaitable[T]]) -> T | None:
        """What the model refuses the store must refuse too; None then."""
        try:
            model()
        except tuple(ERRORS) as refusal:
            with pytest.raises(ERRORS[type(refusal)]):
                self.do(real())
            return None
        return self.do(real())

    def a_job(self, number: int) -> Job:
        return list(self.jobs.values())[-1 - number % len(self.jobs)]

    def reach(self, job: Job) -> Any:
        return mine(OWNERS[job.scopes["tenant"]])

    # What happens.

    @precondition(lambda self: self.started < MOST_JOBS)
    @rule(
        plan=plans, tenant=st.sampled_from(list(OWNERS)), queue=st.sampled_from(QUEUES),
        kind=st.sampled_from(["runbook", "rare"]), priority=st.sampled_from([5, 5, 9]), late=rarely,
    )  # fmt: skip
    def start(self, plan: list[Kind], tenant: str, queue: str, kind: str, priority: int, late: bool) -> None:
        steps = [a_step(each, index) for index, each in enumerate(plan)]
        said: dict[str, Any] = {"queue": queue, "kind": kind, "priority": priority}
        said |= {"deadline_seconds": 1e-9} if late else {}
        started = self.do(self.real.start(*steps, owner=OWNERS[tenant], **said))
        self.started += 1
        scopes = {"queue": queue, "kind": kind, "tenant": tenant}
        job = Job(self.world, started.job_id, plan, scopes, priority, late)
        assert started.status is job.status

    @precondition(lambda self: any(job.status is JobStatus.QUEUED for job in self.jobs.values()))
    @rule(name=st.sampled_from(WORKERS), lost=rarely)
    def fetch(self, name: str, lost: bool) -> None:
        """`lost` is the first answer."""
        number = next(self.fetches)
        runs = self.do(self.real.queue.fetch(name, number, 1, 0))
        if lost and runs:
            assert runs == self.do(self.real.queue.fetch(name, number, 1, 0))
        waiting = [job for job in self.jobs.values() if job.status is JobStatus.QUEUED]
        free = [job for job in waiting if not self.world.blocked(job, LIMITS)]
        assert len(runs) == min(1, len(free)), "a worker gets a job unless a limit forbids every one"
        for run in runs:
            job = self.jobs[run.record.job_id]
            assert job in free
            rivals = [each for each in free if each.scopes["queue"] == job.scopes["queue"]]
            own = [each.priority for each in rivals if each.scopes["tenant"] == job.scopes["tenant"]]
            assert job.priority == max(own), "a tenant's highest priority goes first"
            self.keep(run, job.take())

    @precondition(lambda self: self.runs)
    @rule(number=numbers, held=fresh, keep=st.booleans())
    def commit(self, number: int, held: bool, keep: bool) -> None:
        run, turn = self.a_run(number, held)
        if held and run.step.definition.map is not None:
            self.fan_out_run(run, turn)
        else:
            self.commit_run(run, turn, keep=keep)

    def a_run(self, number: int, held: bool) -> tuple[Run, Turn]:
        holding = [(run, turn) for run, turn in self.runs if turn.job.held_by(turn) and turn.job.cursor == run.index]
        runs = holding if held and holding else self.runs
        return runs[-1 - number % len(runs)]

    def reported(self, model: Callable[[], T], real: Callable[[], Awaitable[Any]]) -> tuple[T | None, Any]:
        """What a worker says of a job: both accept it, or for both it is too late."""
        try:
            said = model()
        except Lost:
            with pytest.raises(LeaseLost):
                self.do(real())
            return None, None
        return said, self.do(real())

    def commit_run(self, run: Run, turn: Turn, *, keep: bool) -> None:
        result = next(self.results)
        goes_on, onward = self.reported(
            lambda: turn.job.commit(turn, run.index, result, keep=keep),
            lambda: self.real.queue.commit(run, str(result), keep=keep),
        )
        assert (onward is not None) is bool(goes_on)
        self.keep(onward, turn)

    def fan_out_run(self, run: Run, turn: Turn) -> None:
        over = run.step.definition.map
        assert over is not None
        children = children_of(run.record, run.step.definition)
        self.reported(
            lambda: turn.job.fan_out(turn, run.index),
            lambda: self.real.queue.fan_out(run, children, parallel=over.parallel, partial=over.partial),
        )

    def keep(self, run: Run | None, turn: Turn) -> None:
        if run is not None:
            assert (run.index, run.step.attempts) == (turn.job.cursor, turn.job.step.attempts)
            self.runs.append((run, turn))

    @precondition(lambda self: self.runs)
    @rule(number=numbers, held=fresh, kind=st.sampled_from(FailureKind))
    def fail(self, number: int, held: bool, kind: FailureKind) -> None:
        run, turn = self.a_run(number, held)
        self.reported(
            lambda: turn.job.fail(turn, run.index, kind), lambda: self.real.queue.fail(run, Failure(kind, "no"))
        )

    @precondition(lambda self: self.runs)
    @rule(number=numbers, held=fresh)
    def checkpoint(self, number: int, held: bool) -> None:
        run, turn = self.a_run(number, held)
        state = next(self.results)
        goes_on, went_on = self.reported(
            lambda: turn.job.checkpoint(turn, run.index, state),
            lambda: self.real.queue.checkpoint(run, Checkpoint(str(state), 0.5)),
        )
        assert goes_on is went_on

    @precondition(lambda self: self.runs)
    @rule(number=numbers, held=fresh, begun=st.booleans())
    def release(self, number: int, held: bool, begun: bool) -> None:
        run, turn = self.a_run(number, held)
        self.do(self.real.queue.release(run.claim, begun=begun))
        turn.job.release(turn, begun=begun)

    @precondition(lambda self: any(job.status in HELD for job in self.jobs.values()))
    @rule()
    def lose(self) -> None:
        """Nobody is heard of for a lease."""
        late = [job for job in self.jobs.values() if job.status in HELD]

        async def swept() -> None:
            count = 0
            while count < len(late):
                count += await self.real.queue.sweep()
            assert count == len(late)

        self.do(swept())
        for job in late:
            job.lose()

    @precondition(lambda self: self.runs)
    @rule()
    def beat(self) -> None:
        claims = list(dict.fromkeys(run.claim for run, _ in self.runs))
        held = {run.claim for run, turn in self.runs if turn.job.held_by(turn)}
        lost = self.real.pulse.beat(worker(), claims)
        assert lost == [claim for claim in claims if claim not in held]

    @precondition(lambda self: any(job.timer or job.overdue for job in self.jobs.values()))
    @rule()
    def wake(self) -> None:
        due = [job for job in self.jobs.values() if job.timer and job.status is JobStatus.SCHEDULED]
        count = self.do(self.real.queue.wake())
        for job in due:
            job.wake()
        late = [job for job in self.jobs.values() if job.overdue]
        assert count == len(due) + len(late)
        for job in late:
            job.time_out()

    @precondition(lambda self: self.jobs)
    @rule(number=numbers, action=steering, first=st.sampled_from([None, None, 0, 1, 2]))
    def steer(self, number: int, action: Action, first: int | None) -> None:
        job = self.a_job(number)
        first = first if action is Action.RETRY else None
        status = self.both(
            lambda: job.steer(action, first),
            lambda: self.real.store.steer(self.reach(job), job.job_id, action, "ann", from_step=first),
        )
        assert status in (None, job.status)

    @precondition(lambda self: any(job.status in TABLE[Action.SKIP] for job in self.jobs.values()))
    @rule(number=numbers, action=st.sampled_from(DECISIONS), ahead=st.sampled_from([0, 0, 0, 1, -1]), waits=fresh)
    def decide(self, number: int, action: Action, ahead: int, waits: bool) -> None:
        jobs = [job for job in self.jobs.values() if job.status in TABLE[action] or not waits]
        self.decide_on(jobs[-1 - number % len(jobs)], action, ahead)

    def decide_on(self, job: Job, action: Action, ahead: int) -> None:
        index = min(max(job.cursor + ahead, 0), len(job.steps) - 1)
        verdict = Verdict(action, "ann")
        status = self.both(
            lambda: job.decide(action, index),
            lambda: self.real.store.decide(self.reach(job), job.job_id, index, verdict),
        )
        assert status in (None, job.status)

    @precondition(lambda self: any(job.status in TABLE[Action.EDIT] for job in self.jobs.values()))
    @rule(number=numbers, ahead=st.sampled_from([0, 0, 1]), kind=st.sampled_from(Kind), stale=rarely)
    def edit(self, number: int, ahead: int, kind: Kind, stale: bool) -> None:
        jobs = [job for job in self.jobs.values() if job.status in TABLE[Action.EDIT]]
        job = jobs[-1 - number % len(jobs)]
        index = min(job.cursor + ahead, len(job.steps) - 1)
        # A map within a map is refused before it comes here.
        kind = Kind.ONCE if job.parent and kind in MAPS else kind
        seen = self.do(self.real.store.get(self.reach(job), job.job_id))
        if stale and seen.edits:
            definition = NewStep.model_validate(a_step(kind, index))
            old = replace(seen, edits=seen.edits - 1)
            if job.steps[index].status == "pending":
                assert not self.do(self.real.store.edit(self.reach(job), old, index, definition, "ann", ""))
            return
        definition = NewStep.model_validate(a_step(kind, index))
        self.both(
            lambda: job.edit(index, kind),
            lambda: self.real.store.edit(self.reach(job), seen, index, definition, "ann", ""),
        )

    # What must hold.

    @invariant()
    def both_agree(self) -> None:
        jobs = list(self.jobs.values())
        records = self.do(together(self.real.store.get(self.reach(job), job.job_id) for job in jobs))
        for job, record in zip(jobs, records, strict=True):
            assert (record.status, record.cursor, record.edits) == (job.status, job.cursor, job.edits)
            assert [_told(step) for step in record.steps] == [_modelled(step) for step in job.steps]

    @invariant()
    def no_limit_is_passed_and_what_runs_and_waits_is_counted(self) -> None:
        for scope, name in {(scope, job.scopes[scope]) for job in self.jobs.values() for scope in SCOPES}:
            most = LIMITS.of(scope, name).concurrency
            assert most is None or self.world.running(scope, name) <= most
        waiting = self.world.counts(lambda status: status is JobStatus.QUEUED)
        running = self.world.counts(lambda status: status in HELD)
        loads = self.do(together(self.real.store.queues(tenant) for tenant in OWNERS))
        for tenant, every in zip(OWNERS, loads, strict=True):
            for load in every:
                place = load.queue, tenant
                assert (load.own.waiting, load.own.running) == (waiting[place], running[place])
                everybody = [sum(each[load.queue, name] for name in OWNERS) for each in (waiting, running)]
                assert [load.everybody.waiting, load.everybody.running] == everybody

    def teardown(self) -> None:
        self.finish()
        for job in self.jobs.values():
            self.check_events(job)

    def finish(self) -> None:
        """No job is stuck, whatever was done to it: it can be brought to its end."""
        for _ in range(200):
            going = [job for job in self.jobs.values() if not job.ended]
            if not going:
                return
            for job in going:
                self.go_on(job)
            self.both_agree()
        raise AssertionError(f"{[(job.job_id, job.status) for job in going]} do not end")

    def go_on(self, job: Job) -> None:
        number = len(self.jobs) - 1 - list(self.jobs).index(job.job_id)
        if job.status in (JobStatus.PAUSED, JobStatus.PAUSING):
            self.steer(number, Action.RESUME, None)
        elif job.status is JobStatus.WAITING_APPROVAL:
            self.decide_on(job, Action.SKIP, 0)
        elif job.status is JobStatus.SCHEDULED and job.timer:
            self.wake()
        elif job.status is JobStatus.QUEUED:
            self.fetch(WORKERS[0], lost=False)
        elif job.status in HELD:
            run, turn = [each for each in self.runs if each[1] is job.turn][-1]
            if run.step.definition.map is None:
                self.commit_run(run, turn, keep=True)
            else:
                self.fan_out_run(run, turn)

    def check_events(self, job: Job) -> None:
        events = self.do(self.real.store.events(self.reach(job), job.job_id, after=0, limit=1000)).events
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        moves = [event for event in events if event.type is EventType.JOB_TRANSITION]
        status: Any = None
        for event in moves:
            before = event.data["from"] if event is not moves[0] else None
            assert before == status, "each begins where the one before has led"
            assert event.status in TABLE[Action(event.data["action"])][before]
            status = JobStatus(event.status)
        assert status in FINAL


async def together(calls: Iterable[Awaitable[T]]) -> list[T]:
    return await asyncio.gather(*calls)


def _told(step: Any) -> tuple[Any, ...]:
    result = step.result
    if step.children is not None and result is not None:
        result = [(each["status"], each["result"]) for each in result]
    fan = step.children and (step.children.total, step.children.ended, step.children.failed)
    return step.status, step.attempts, result, step.state, step.redo, fan


def _modelled(step: StepModel) -> tuple[Any, ...]:
    fan = step.fan and (MAPS[step.kind].items, step.fan.ended, step.fan.failed)
    return step.status, step.attempts, step.result, step.state, step.redo, fan


@pytest.fixture
def machine(request: pytest.FixtureRequest, open_jobs: Open) -> Iterator[type[Machine]]:
    server = request.getfixturevalue("valkey_server") if open_jobs is not open_memory else None
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        kept: list[Jobs] = []

        async def empty() -> Jobs:
            if server is None:
                return await opened.enter_async_context(open_jobs(BOUNDS))
            assert server.ask("FLUSHALL") == "+OK"
            if not kept:
                kept.append(await opened.enter_async_context(open_jobs(BOUNDS)))
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
