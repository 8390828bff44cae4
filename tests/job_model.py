"""What a job must do, once more and as plainly as can be: no epochs, no lines, no clock. `states.TABLE` says where each
move may lead; the rest is the README of services/jobs in Python. Held against the stores by a model-based test.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bureau_contracts.jobs import JobStatus as S
from bureau_contracts.steps import StepStatus as Step
from services.jobs.limits import SCOPES, Limits
from services.jobs.states import FINAL, HELD, ON_THE_CLOCK, TABLE, Action
from services.jobs.store import FailureKind

MAX_LOSSES = 2


class Kind(StrEnum):
    REPEATABLE = "repeatable"
    ONCE = "once"
    WAIT = "wait"
    BREAKPOINT = "breakpoint"
    MAP = "map"
    PARTIAL = "partial"
    """A map that passes although some children failed."""


@dataclass(frozen=True)
class Over:
    """What a map does."""

    items: int
    parallel: int
    plan: list[Kind]
    partial: bool


MAPS = {
    Kind.MAP: Over(3, 2, [Kind.REPEATABLE], partial=False),
    Kind.PARTIAL: Over(2, 1, [Kind.ONCE, Kind.WAIT], partial=True),
}


class Refused(Exception):
    """The table forbids it."""


class NotWaiting(Exception):
    """The step is not the one that waits for a decision, or has begun."""


class NoStep(Exception):
    """The job has not come so far."""


class OthersToRetry(Exception):
    """A map's child is run again by its parent."""


class Lost(Exception):
    """The worker has the job no longer."""


@dataclass(eq=False)
class Turn:
    """One right to go on with a job. Compared by identity: whoever has an old one has nothing."""

    job: "Job"


@dataclass
class Fan:
    """What a map knows of its children."""

    live: int = 0
    ended: int = 0
    failed: int = 0
    pending: list[int] = field(default_factory=list)
    """Items whose children have not begun."""


@dataclass
class StepModel:
    kind: Kind
    status: Step = Step.PENDING
    result: Any = None
    attempts: int = 0
    state: int | None = None
    redo: int = 0
    fan: Fan | None = None

    def anew(self) -> None:
        self.status, self.result, self.attempts, self.state, self.fan = Step.PENDING, None, 0, None, None


@dataclass
class World:
    """All jobs there are."""

    jobs: dict[str, "Job"] = field(default_factory=dict)
    seen: set[tuple[Action, S | None, S]] = field(default_factory=set)
    """Every move that any job has made."""

    def running(self, scope: str, name: str) -> int:
        return sum(job.status in HELD and job.scopes[scope] == name for job in self.jobs.values())

    def blocked(self, job: "Job", limits: Limits) -> bool:
        """By a limit of jobs that run at once."""
        most = {scope: limits.of(scope, job.scopes[scope]).concurrency for scope in SCOPES}
        return any(each is not None and self.running(scope, job.scopes[scope]) >= each for scope, each in most.items())

    def counts(self, statuses: Callable[[S | None], bool]) -> Counter[tuple[str, str]]:
        return Counter(
            (job.scopes["queue"], job.scopes["tenant"]) for job in self.jobs.values() if statuses(job.status)
        )


@dataclass(eq=False)
class Job:
    world: World
    job_id: str
    plan: list[Kind]
    scopes: dict[str, str]
    """Its queue, kind and tenant."""
    priority: int = 5
    late: bool = False
    """Its deadline is the moment of its start."""
    parent: "Job | None" = None
    item: int = 0
    status: S | None = None
    cursor: int = 0
    losses: int = 0
    edits: int = 0
    timer: bool = False
    turn: Turn | None = None

    def __post_init__(self) -> None:
        self.steps = [StepModel(kind) for kind in self.plan]
        self.world.jobs[self.job_id] = self
        self._onward(Action.START)

    @property
    def step(self) -> StepModel:
        return self.steps[self.cursor]

    @property
    def over(self) -> Over:
        return MAPS[self.step.kind]

    @property
    def ended(self) -> bool:
        return self.status in FINAL

    def held_by(self, turn: Turn) -> bool:
        return self.status in HELD and self.turn is turn

    # What a worker does.

    def take(self) -> Turn:
        self._move(Action.TAKE, S.RUNNING)
        self.turn = Turn(self)
        self._begin()
        return self.turn

    def commit(self, turn: Turn, index: int, result: Any, *, keep: bool) -> bool:
        """Whether the worker goes on with the next step."""
        if not self.held_by(turn):
            raise Lost
        if self.cursor > index and self.steps[index].status is Step.PASSED:
            return True
        self._require(turn, index)
        self._close(Step.PASSED, result)
        if self._onward(Action.COMMIT, keep=keep):
            self._begin()
            return True
        return False

    def fail(self, turn: Turn, index: int, kind: FailureKind) -> None:
        self._require(turn, index)
        pausing = self.status is S.PAUSING
        if kind is FailureKind.RETRY:
            self.step.status, self.timer = Step.PENDING, True
            self._move(Action.FAIL, S.PAUSED if pausing else S.SCHEDULED)
        elif kind is FailureKind.UNSURE:
            self.step.status = Step.UNKNOWN_OUTCOME
            self._move(Action.FAIL, S.PAUSED if pausing else S.WAITING_APPROVAL)
        else:
            self.step.status = Step.FAILED
            self._move(Action.FAIL, S.FAILED)

    def checkpoint(self, turn: Turn, index: int, state: int) -> bool:
        self._require(turn, index)
        self.step.state = state
        if self.status is not S.PAUSING:
            return True
        self._unbegin()
        self._move(Action.CHECKPOINT, S.PAUSED)
        return False

    def fan_out(self, turn: Turn, index: int) -> None:
        self._require(turn, index)
        self.step.fan = fan = Fan()
        for item in range(self.over.items):
            child = self.world.jobs.get(self.child_id(item))
            if child is not None and child.status is S.SUCCEEDED:
                fan.ended += 1
            elif child is not None and not child.ended:
                fan.live += 1
            else:
                fan.pending.append(item)
        self._move(Action.FAN_OUT, S.PAUSED if self.status is S.PAUSING else S.SCHEDULED)
        self._rejoin()

    def release(self, turn: Turn, *, begun: bool) -> None:
        if not self.held_by(turn):
            return
        if begun:
            self._give_up(Action.RELEASE)
        else:
            self._unbegin()
            self._move(Action.RELEASE, S.PAUSED if self.status is S.PAUSING else S.QUEUED)

    def lose(self) -> None:
        self._give_up(Action.LOSE)

    def _require(self, turn: Turn, index: int) -> None:
        if not self.held_by(turn) or self.cursor != index:
            raise Lost

    def _give_up(self, action: Action) -> None:
        self.losses += action is Action.LOSE
        once = self.step.kind is Kind.ONCE
        self.step.status = Step.UNKNOWN_OUTCOME if once else Step.PENDING
        if action is Action.LOSE and self.losses >= MAX_LOSSES and not once:
            self.step.status = Step.FAILED
            self._move(action, S.FAILED)
        elif self.status is S.PAUSING:
            self._move(action, S.PAUSED)
        else:
            self._move(action, S.WAITING_APPROVAL if once else S.QUEUED)

    # What time does.

    def wake(self) -> None:
        if self.step.kind is Kind.WAIT and self.step.status is Step.IN_PROGRESS:
            self._close(Step.PASSED, None)
        self.timer = False
        self._onward(Action.WAKE)

    def time_out(self) -> None:
        self._abandon(doubtful=self.step.kind is Kind.ONCE)
        self._move(Action.TIME_OUT, S.FAILED)
        for child in self._live():
            child.cancel()

    # What callers do.

    def steer(self, action: Action, first: int | None = None) -> None:
        if self.status not in TABLE[action]:
            raise Refused
        if action is Action.PAUSE:
            self._pause()
        elif action is Action.RESUME:
            self._resume()
        elif action is Action.CANCEL:
            self.cancel()
        else:
            self._may_retry(first)
            self._retry(first)

    def cancel(self) -> None:
        if self.ended:
            return
        self._abandon(doubtful=True)
        self._move(Action.CANCEL, S.CANCELLED)
        for child in self._live():
            child.cancel()

    def _abandon(self, *, doubtful: bool) -> None:
        if self.status in HELD and doubtful:
            self.step.status = Step.UNKNOWN_OUTCOME
        elif self.step.status is Step.IN_PROGRESS:
            self.step.status = Step.PENDING

    def _pause(self) -> None:
        self._move(Action.PAUSE, S.PAUSING if self.status is S.RUNNING else S.PAUSED)
        for child in self._live():
            if child.status in TABLE[Action.PAUSE]:
                child._pause()

    def _resume(self) -> None:
        if self.status is S.PAUSING:
            self._move(Action.RESUME, S.RUNNING)
        else:
            self._onward(Action.RESUME)
        for child in self._live():
            if child.status in TABLE[Action.RESUME]:
                child._resume()

    def _may_retry(self, first: int | None) -> None:
        if not self.ended:
            if first is not None or self.step.status is not Step.UNKNOWN_OUTCOME:
                raise Refused
        elif self.parent is not None:
            raise OthersToRetry
        elif self.status is S.SUCCEEDED and first is None:
            raise Refused
        elif first is not None and (first > self.cursor or first >= len(self.steps)):
            raise NoStep

    def _retry(self, first: int | None = None) -> None:
        begin = self.cursor if first is None else first
        for index in range(begin, min(self.cursor + 1, len(self.steps))):
            self.steps[index].redo += begin < self.cursor
            self.steps[index].anew()
        self.cursor, self.losses, self.timer = begin, 0, False
        self._onward(Action.RETRY)

    def decide(self, action: Action, index: int) -> None:
        if self.status not in TABLE[action]:
            raise Refused
        step, here = self.steps[index], index == self.cursor
        asked = step.kind is Kind.BREAKPOINT and step.status is Step.IN_PROGRESS
        ahead = action is Action.SKIP and self.status is S.PAUSED
        if here and (asked or step.status is Step.UNKNOWN_OUTCOME or ahead):
            if step.fan:
                step.fan = None
                for child in self._live():
                    child.cancel()
            self._decide(action)
        elif ahead and index > self.cursor and step.status is Step.PENDING:
            step.status = Step.SKIPPED
        else:
            raise NotWaiting

    def _decide(self, action: Action) -> None:
        if action is Action.REJECT:
            self.step.status = Step.FAILED
            self._move(action, S.FAILED)
        else:
            self._close(Step.SKIPPED if action is Action.SKIP else Step.PASSED, None)
            self._onward(action)

    def edit(self, index: int, kind: Kind) -> None:
        if self.status not in TABLE[Action.EDIT]:
            raise Refused
        step = self.steps[index]
        if index < self.cursor or step.status is not Step.PENDING:
            raise NotWaiting
        if index == self.cursor and step.attempts:
            self.timer = False
        step.anew()
        step.kind, step.redo = kind, step.redo + 1
        self.edits += 1

    # A map and its children.

    def child_id(self, item: int) -> str:
        redo = f"-r{self.step.redo}" if self.step.redo else ""
        return f"{self.job_id}-{self.cursor}-{item}{redo}"

    def _live(self) -> Iterator["Job"]:
        for child in list(self.world.jobs.values()):
            if child.parent is self and not child.ended:
                yield child

    def _rejoin(self) -> None:
        fan, over = self.step.fan, self.over
        assert fan is not None
        broken = fan.failed > 0 and not over.partial
        while self.status is S.SCHEDULED and fan.pending and fan.live < over.parallel and not broken:
            item = fan.pending.pop(0)
            fan.live += 1
            child = self.world.jobs.get(self.child_id(item))
            if child is None:
                Job(self.world, self.child_id(item), over.plan, self.scopes, self.priority, parent=self, item=item)
            else:
                child._retry()
        if fan.live == 0 and (broken or not fan.pending):
            self._join(broken=broken)

    def _join(self, *, broken: bool) -> None:
        children = [self.world.jobs.get(self.child_id(item)) for item in range(self.over.items)]
        brought = [(child.status, child.brought) if child else ("pending", None) for child in children]
        if broken:
            self.step.status, self.step.result = Step.FAILED, brought
            self._move(Action.JOIN, S.FAILED)
        else:
            self._close(Step.PASSED, brought)
            self._onward(Action.JOIN)

    @property
    def brought(self) -> Any:
        return self.steps[-1].result if self.status is S.SUCCEEDED else None

    def _child_ended(self, child: "Job") -> None:
        here = child.job_id.startswith(f"{self.job_id}-{self.cursor}-")
        if self.ended or not here or self.step.fan is None:
            return
        self.step.fan.live -= 1
        self.step.fan.ended += 1
        self.step.fan.failed += child.status is not S.SUCCEEDED
        self._rejoin()

    # The things that all of it is made of.

    def _onward(self, action: Action, *, keep: bool = False) -> bool:
        while self.cursor < len(self.steps) and self.step.status is Step.SKIPPED:
            self.cursor += 1
        if self.cursor == len(self.steps):
            self._move(action, S.SUCCEEDED)
        elif self.status is S.PAUSING or (self.status is S.PAUSED and action is not Action.RESUME):
            self._move(action, S.PAUSED)
        elif self.step.status is Step.UNKNOWN_OUTCOME:
            self._move(action, S.WAITING_APPROVAL)
        elif self.timer:
            self._move(action, S.SCHEDULED)
        elif self.step.kind is Kind.BREAKPOINT:
            if self.step.status is not Step.IN_PROGRESS:
                self._begin()
            self._move(action, S.WAITING_APPROVAL)
        elif self.step.kind is Kind.WAIT:
            self._begin()
            self.timer = True
            self._move(action, S.SCHEDULED)
        elif self.step.kind in MAPS and self.step.status is Step.IN_PROGRESS:
            self._move(action, S.SCHEDULED)
            self._rejoin()
        else:
            self._move(action, S.RUNNING if keep else S.QUEUED)
            return keep
        return False

    def _move(self, action: Action, to: S) -> None:
        assert to in TABLE[action][self.status], f"the model goes by {action} from {self.status} to {to}"
        self.world.seen.add((action, self.status, to))
        if self.status in HELD and to not in HELD:
            self.turn = None
        self.status = to
        if to in FINAL and self.parent is not None:
            self.parent._child_ended(self)

    def _begin(self) -> None:
        self.step.attempts += 1
        self.step.status = Step.IN_PROGRESS

    def _unbegin(self) -> None:
        self.step.attempts -= 1
        self.step.status = Step.PENDING

    def _close(self, status: Step, result: Any) -> None:
        self.step.status, self.step.result, self.step.state = status, result, None
        self.cursor, self.losses, self.timer = self.cursor + 1, 0, False

    @property
    def overdue(self) -> bool:
        return self.late and self.status in ON_THE_CLOCK
