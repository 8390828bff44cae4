"""What a job must do, once more and as plainly as can be: no epochs, no messages, no clock. `states.TABLE` says where
each move may lead; the rest is the README of services/jobs in Python. Held against the stores by a model-based test.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bureau_contracts.jobs import JobStatus as S
from bureau_contracts.steps import StepStatus as Step
from services.jobs.states import FINAL, HELD, TABLE, Action
from services.jobs.store import FailureKind, Message

MAX_LOSSES = 2


class Kind(StrEnum):
    REPEATABLE = "repeatable"
    ONCE = "once"
    WAIT = "wait"
    BREAKPOINT = "breakpoint"


class Refused(Exception):
    """The table forbids it, or the step is not the one that waits."""


class NotWaiting(Refused):
    """The step is not the one that waits for a decision."""


class Lost(Exception):
    """The worker has the job no longer."""


@dataclass(eq=False)
class Turn:
    """One right to go on with a job. Compared by identity: whoever has an old one has nothing."""

    job: "Job"
    message: Message | None = None
    """Set when it is delivered."""
    pending: bool = True
    """Neither acknowledged nor thrown away."""


@dataclass
class Job:
    kinds: list[Kind]
    seen: set[tuple[Action, S | None, S]]
    """Every move that any job of this test has made."""
    status: S | None = None
    cursor: int = 0
    steps: list[Step] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    losses: int = 0
    timer: bool = False
    turn: Turn | None = None
    turns: list[Turn] = field(default_factory=list)
    """All that there ever were, in order."""
    worker: str | None = None

    def __post_init__(self) -> None:
        count = len(self.kinds)
        self.steps, self.results, self.attempts = [Step.PENDING] * count, [None] * count, [0] * count
        self._onward(Action.START)

    @property
    def kind(self) -> Kind:
        return self.kinds[self.cursor]

    def held_by(self, turn: Turn) -> bool:
        return self.status in HELD and self.turn is turn

    # What a worker does.

    def take(self, turn: Turn, worker: str) -> bool:
        """Whether the worker has the job now."""
        if self.held_by(turn):
            return self.worker == worker
        if self.turn is not turn or self.status is not S.QUEUED:
            turn.pending = False
            return False
        self._move(Action.TAKE, S.RUNNING)
        self.worker = worker
        self._begin()
        return True

    def commit(self, turn: Turn, index: int, result: Any, *, keep: bool) -> bool:
        """Whether the worker goes on with the next step."""
        if not self.held_by(turn) or self.cursor not in (index, index + 1):
            raise Lost
        if self.cursor == index + 1:
            return True
        self._close(Step.PASSED, result)
        if self._onward(Action.COMMIT, keep=keep):
            self._begin()
            return True
        return False

    def fail(self, turn: Turn, index: int, kind: FailureKind) -> None:
        if not self.held_by(turn) or self.cursor != index:
            raise Lost
        pausing = self.status is S.PAUSING
        if kind is FailureKind.RETRY:
            self.steps[index], self.timer = Step.PENDING, True
            self._move(Action.FAIL, S.PAUSED if pausing else S.SCHEDULED)
        elif kind is FailureKind.UNSURE:
            self.steps[index] = Step.UNKNOWN_OUTCOME
            self._move(Action.FAIL, S.PAUSED if pausing else S.WAITING_APPROVAL)
        else:
            self.steps[index] = Step.FAILED
            self._move(Action.FAIL, S.FAILED)

    def give_up(self, turn: Turn, action: Action) -> None:
        """The worker is gone (LOSE) or goes (RELEASE)."""
        if self.turn is turn and self.status in TABLE[action]:
            self._give_up(action)
        turn.pending = False

    def _give_up(self, action: Action) -> None:
        if self.status is S.QUEUED:
            self._move(action, S.QUEUED)
            return
        self.losses += action is Action.LOSE
        once = self.kind is Kind.ONCE
        self.steps[self.cursor] = Step.UNKNOWN_OUTCOME if once else Step.PENDING
        if action is Action.LOSE and self.losses >= MAX_LOSSES and not once:
            self.steps[self.cursor] = Step.FAILED
            self._move(action, S.FAILED)
        elif self.status is S.PAUSING:
            self._move(action, S.PAUSED)
        else:
            self._move(action, S.WAITING_APPROVAL if once else S.QUEUED)

    # What time does.

    def wake(self) -> None:
        if self.kind is Kind.WAIT:
            self._close(Step.PASSED, None)
        self.timer = False
        self._onward(Action.WAKE)

    # What callers do.

    def steer(self, action: Action) -> None:
        if self.status not in TABLE[action]:
            raise Refused
        if action is Action.PAUSE:
            self._move(action, S.PAUSING if self.status is S.RUNNING else S.PAUSED)
        elif action is Action.RESUME and self.status is S.PAUSING:
            self._move(action, S.RUNNING)
        elif action is Action.RESUME:
            self._onward(action)
        elif action is Action.CANCEL:
            if self.status in HELD:
                self.steps[self.cursor] = Step.UNKNOWN_OUTCOME
            elif self.steps[self.cursor] is Step.IN_PROGRESS:
                self.steps[self.cursor] = Step.PENDING
            self._move(action, S.CANCELLED)
        else:
            if self.status is not S.FAILED and self.steps[self.cursor] is not Step.UNKNOWN_OUTCOME:
                raise Refused
            self.steps[self.cursor], self.attempts[self.cursor] = Step.PENDING, 0
            self.losses, self.timer = 0, False
            self._onward(action)

    def decide(self, action: Action, index: int) -> None:
        if self.status not in TABLE[action]:
            raise Refused
        step = self.steps[index]
        waits = step is Step.UNKNOWN_OUTCOME or (self.kinds[index] is Kind.BREAKPOINT and step is Step.IN_PROGRESS)
        ahead = action is Action.SKIP and self.status is S.PAUSED
        if index != self.cursor or not (waits or ahead):
            raise NotWaiting
        if action is Action.REJECT:
            self.steps[index] = Step.FAILED
            self._move(action, S.FAILED)
        else:
            self._close(Step.SKIPPED if action is Action.SKIP else Step.PASSED, None)
            self._onward(action)

    # The two things that all of it is made of.

    def _onward(self, action: Action, *, keep: bool = False) -> bool:
        if self.cursor == len(self.kinds):
            self._move(action, S.SUCCEEDED)
        elif self.status is S.PAUSING or (self.status is S.PAUSED and action is not Action.RESUME):
            self._move(action, S.PAUSED)
        elif self.steps[self.cursor] is Step.UNKNOWN_OUTCOME:
            self._move(action, S.WAITING_APPROVAL)
        elif self.timer:
            self._move(action, S.SCHEDULED)
        elif self.kind is Kind.BREAKPOINT:
            if self.steps[self.cursor] is not Step.IN_PROGRESS:
                self._begin()
            self._move(action, S.WAITING_APPROVAL)
        elif self.kind is Kind.WAIT:
            self._begin()
            self.timer = True
            self._move(action, S.SCHEDULED)
        else:
            self._move(action, S.RUNNING if keep else S.QUEUED)
            return keep
        return False

    def _move(self, action: Action, to: S) -> None:
        assert to in TABLE[action][self.status], f"the model goes by {action} from {self.status} to {to}"
        self.seen.add((action, self.status, to))
        if self.status in HELD and to not in HELD:
            assert self.turn is not None
            self.turn.pending = False
            self.turn = self.worker = None
        elif self.status is S.QUEUED and to is not S.RUNNING:
            self.turn = None
        self.status = to
        if to is S.QUEUED:
            self.turn = Turn(self)
            self.turns.append(self.turn)

    def _begin(self) -> None:
        self.attempts[self.cursor] += 1
        self.steps[self.cursor] = Step.IN_PROGRESS

    def _close(self, status: Step, result: Any) -> None:
        self.steps[self.cursor], self.results[self.cursor] = status, result
        self.cursor, self.losses, self.timer = self.cursor + 1, 0, False

    @property
    def ended(self) -> bool:
        return self.status in FINAL
