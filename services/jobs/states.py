"""The one table of what may happen to a job. The Lua in Redis is given it, the in-memory store uses it, the README
prints it and the tests walk it; nothing else says which transition is legal."""

from collections.abc import Mapping
from enum import StrEnum

from bureau_contracts.jobs import JobStatus as S


class Action(StrEnum):
    """What happens to a job: by its caller, by the worker that holds it, or by time."""

    START = "start"
    TAKE = "take"
    """A worker begins, or goes on."""
    COMMIT = "commit"
    """A step has passed."""
    FAIL = "fail"
    """An attempt at a step has not."""
    LOSE = "lose"
    """The worker was not heard of for a whole lease."""
    RELEASE = "release"
    """A worker that stops hands over what it holds."""
    WAKE = "wake"
    """The moment that a scheduled job waited for has come."""
    CHECKPOINT = "checkpoint"
    """A function told how far it is, and stopped there because its job shall pause."""
    FAN_OUT = "fan_out"
    """A `map` step has its children."""
    JOIN = "join"
    """The last of them has ended."""
    TIME_OUT = "time_out"
    """The deadline has passed."""
    EXPIRE = "expire"
    """Nobody decided on a breakpoint in time."""
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    APPROVE = "approve"
    REJECT = "reject"
    SKIP = "skip"
    EDIT = "edit"


FINAL = frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED})
HELD = frozenset({S.RUNNING, S.PAUSING})
"""A worker holds the job: it has a lease."""
ON_THE_CLOCK = frozenset({S.QUEUED, S.SCHEDULED, S.RUNNING, S.PAUSING})
"""The deadline comes nearer; in the other states it stands still."""

# Where a job goes when its next step stands before it and no worker is at hand: to the queue, to sleep (`wait`, or the
# children of a `map`), to a human (`breakpoint`).
_ONWARD = frozenset({S.QUEUED, S.SCHEDULED, S.WAITING_APPROVAL})
_DECIDED: Mapping[S | None, frozenset[S]] = {
    S.WAITING_APPROVAL: _ONWARD | {S.SUCCEEDED},
    S.PAUSED: frozenset({S.PAUSED, S.SUCCEEDED}),
}

TABLE: Mapping[Action, Mapping[S | None, frozenset[S]]] = {
    Action.START: {None: _ONWARD},
    Action.TAKE: {S.QUEUED: frozenset({S.RUNNING})},
    Action.COMMIT: {
        S.RUNNING: _ONWARD | {S.RUNNING, S.SUCCEEDED},
        S.PAUSING: frozenset({S.PAUSED, S.SUCCEEDED}),
    },
    Action.FAIL: {
        S.RUNNING: frozenset({S.SCHEDULED, S.WAITING_APPROVAL, S.FAILED}),
        S.PAUSING: frozenset({S.PAUSED, S.FAILED}),
    },
    Action.LOSE: {
        S.RUNNING: frozenset({S.QUEUED, S.WAITING_APPROVAL, S.FAILED}),
        S.PAUSING: frozenset({S.PAUSED, S.FAILED}),
    },
    Action.RELEASE: {
        S.RUNNING: frozenset({S.QUEUED, S.WAITING_APPROVAL}),
        S.PAUSING: frozenset({S.PAUSED}),
    },
    Action.CHECKPOINT: {S.PAUSING: frozenset({S.PAUSED})},
    Action.FAN_OUT: {S.RUNNING: frozenset({S.SCHEDULED}), S.PAUSING: frozenset({S.PAUSED})},
    Action.JOIN: {
        S.SCHEDULED: _ONWARD | {S.SUCCEEDED, S.FAILED},
        S.PAUSED: frozenset({S.PAUSED, S.SUCCEEDED, S.FAILED}),
    },
    Action.WAKE: {S.SCHEDULED: _ONWARD | {S.SUCCEEDED}},
    Action.TIME_OUT: {status: frozenset({S.FAILED}) for status in S if status in ON_THE_CLOCK},
    Action.EXPIRE: {S.WAITING_APPROVAL: _ONWARD | {S.SUCCEEDED, S.FAILED}},
    Action.PAUSE: {
        S.QUEUED: frozenset({S.PAUSED}),
        S.SCHEDULED: frozenset({S.PAUSED}),
        S.WAITING_APPROVAL: frozenset({S.PAUSED}),
        S.RUNNING: frozenset({S.PAUSING}),
    },
    Action.RESUME: {S.PAUSED: _ONWARD, S.PAUSING: frozenset({S.RUNNING})},
    Action.CANCEL: {status: frozenset({S.CANCELLED}) for status in S if status not in FINAL},
    Action.RETRY: {
        S.FAILED: _ONWARD,
        S.CANCELLED: _ONWARD,
        S.SUCCEEDED: _ONWARD,
        S.WAITING_APPROVAL: frozenset({S.QUEUED}),
    },
    Action.APPROVE: _DECIDED,
    Action.SKIP: _DECIDED,
    Action.REJECT: {S.WAITING_APPROVAL: frozenset({S.FAILED}), S.PAUSED: frozenset({S.FAILED})},
    Action.EDIT: {S.PAUSED: frozenset({S.PAUSED}), S.WAITING_APPROVAL: frozenset({S.WAITING_APPROVAL})},
}

STEERING = (Action.PAUSE, Action.RESUME, Action.CANCEL, Action.RETRY)
"""What a caller may ask of a job."""
DECISIONS = (Action.APPROVE, Action.REJECT, Action.SKIP)
"""What a human may decide on a step."""


def legal(action: Action, status: S) -> bool:
    return status in TABLE[action]


def choices(status: S) -> list[Action]:
    """What a caller can do with a job in this state, for the text of a refusal."""
    return [action for action in (*STEERING, *DECISIONS, Action.EDIT) if legal(action, status)]


def as_markdown() -> str:
    """The table as the README prints it."""
    rows = ["| what happens | from | to |", "|---|---|---|"]
    for action, sources in TABLE.items():
        for source, targets in sources.items():
            after = ", ".join(status for status in S if status in targets)
            rows.append(f"| {action} | {source or '–'} | {after} |")
    return "\n".join(rows)
