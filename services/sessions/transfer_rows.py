"""A whole session as rows, once for both SQL adapters."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.sessions import rows
from services.sessions.transfer import Whole


@dataclass(frozen=True, slots=True)
class WholeRows:
    """What is inserted after the session itself."""

    messages: Sequence[rows.Values]
    invocations: Sequence[rows.Values]
    turns: Sequence[rows.Values]
    undos: Sequence[rows.Values]
    left: Sequence[rows.Values]


def rows_of(whole: Whole) -> WholeRows:
    session = whole.record.session
    branches = {branch for branch, _ in whole.messages} | {branch for branch, _ in whole.undos}
    on = {branch: session.model_copy(update={"branch": branch}) for branch in branches}
    return WholeRows(
        [rows.message_values(on[branch], message) for branch, message in whole.messages],
        [rows.invocation_values(session, number, each) for number, each in enumerate(whole.invocations, 1)],
        [rows.turn_values(session, turn) for turn in whole.turns]
        + ([rows.receipt_values(session, whole.receipt)] if whole.receipt else []),
        [rows.undo_values(on[branch], undo) for branch, undo in whole.undos],
        [rows.left_values(session, left) for left in whole.left],
    )
