"""Fork and rewind: what a session shows, branch by branch. Pure rules; no message is ever copied, moved or destroyed.

A session writes to one branch, and shows before it what its lineage names: segments of branches that were written
earlier, its own after a rewind, another session's after a fork. A step back, or aside, is a cut of that list.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bureau_contracts.sessions import Branch, Context, Lifecycle, Session, SessionStatus
from bureau_contracts.shapes import JsonObject
from services.sessions.errors import NoSuchMessage
from services.sessions.leases import admit_writer
from services.sessions.record import Current, LeftBranch, Segment, SessionRecord, Undo, Write
from services.sessions.statuses import require_writable


@dataclass(frozen=True, slots=True)
class Stretch:
    """Messages of one branch with after < seq < before."""

    session_id: str
    branch: int
    after: int
    before: int


@dataclass(frozen=True, slots=True)
class Shown:
    """What a session shows on one of its branches."""

    session_id: str
    branch: int
    lineage: tuple[Segment, ...]
    message_count: int

    def segments(self) -> tuple[Segment, ...]:
        """The branch's own included."""
        own = Segment(self.session_id, self.branch, self.message_count)
        return (*self.lineage, own)

    def until(self, seq: int) -> tuple[Segment, ...]:
        """The segments that show the messages up to this one. Raises NoSuchMessage."""
        if seq > self.message_count:
            raise NoSuchMessage(seq, self.message_count)
        kept, begins = list[Segment](), 0
        for segment in self.segments():
            if begins < min(segment.last_seq, seq):
                kept.append(replace(segment, last_seq=min(segment.last_seq, seq)))
            begins = max(begins, segment.last_seq)
        return tuple(kept)

    def stretches(self, after: int, before: int) -> Iterator[Stretch]:
        """Where the messages with after < seq < before stand, in order. Nearly always one stretch."""
        begins = 0
        for segment in self.segments():
            first, last = max(after, begins), min(before, segment.last_seq + 1)
            if first + 1 < last:
                yield Stretch(segment.session_id, segment.branch, first, last)
            begins = max(begins, segment.last_seq)


def shown_by(record: SessionRecord, left: LeftBranch | None = None) -> Shown:
    session = record.session
    if left is not None:
        return Shown(session.session_id, left.branch, left.lineage, left.message_count)
    return Shown(session.session_id, session.branch, record.lineage, session.message_count)


def rewind(current: Current, to_seq: int, fencing_token: int | None, now: datetime) -> tuple[Session, Write | None]:
    """Back to message `to_seq`, with the state and context of then. `current.undos` are those from there on.

    Raises SessionArchived, StaleWriter or NoSuchMessage. Going back to where one is changes nothing.
    """
    session = current.record.session
    require_writable(session)
    record = admit_writer(current.record, fencing_token, now)
    shown = shown_by(record)
    lineage = shown.until(to_seq)
    if to_seq == session.message_count:
        return session, None
    at = max(now, session.updated_at)
    state, context = undone(session.state, record.context, _beyond(to_seq, current.undos))
    changed = {
        "branch": session.branch + 1,
        "message_count": to_seq,
        "state": state,
        "status": SessionStatus.IDLE,
        "version": session.version + 1,
        "updated_at": at,
        "last_activity": at,
    }
    after = session.model_copy(update=changed)
    left = LeftBranch(session.branch, record.lineage, session.message_count, at, session.state, record.context)
    written = replace(record, session=after, context=context, lineage=lineage)
    return after, Write(written, left=left, undo=_undo_at(to_seq, current.undos))


def fork(current: Current, fresh: SessionRecord, at_seq: int | None, title: str | None) -> tuple[SessionRecord, Write]:
    """`fresh` as a session that shows this one up to `at_seq`. `current.undos` are those from there on.

    An archived session can be forked: nothing of it changes. Raises NoSuchMessage.
    """
    source = current.record
    shown = shown_by(source, current.left)
    seq = shown.message_count if at_seq is None else at_seq
    tip = (source.session.state, source.context) if current.left is None else (current.left.state, current.left.context)
    state, context = undone(*tip, _beyond(seq, current.undos))
    inherited = {
        "title": source.session.title if title is None else title,
        "autonomy_level": source.session.autonomy_level,
        "metadata": source.session.metadata,
        "state": state,
        "message_count": seq,
        "lifecycle": Lifecycle.ACTIVE,
        "forked_from": source.session.session_id,
    }
    session = fresh.session.model_copy(update=inherited)
    created = replace(fresh, session=session, context=context, lineage=shown.until(seq))
    return created, Write(source, created=created, created_undo=_undo_at(seq, current.undos))


def branches(record: SessionRecord, left: Sequence[LeftBranch]) -> list[Branch]:
    """The latest first."""
    session = record.session
    present = Branch(branch=session.branch, message_count=session.message_count)
    before = [Branch(branch=each.branch, message_count=each.message_count, left_at=each.left_at) for each in left]
    return [present, *sorted(before, key=lambda each: each.branch, reverse=True)]


def undone(state: JsonObject, context: Context, undos: Sequence[Undo]) -> tuple[JsonObject, Context]:
    """State and context before all of these changes, which come newest first."""
    for undo in undos:
        both = {**state, **undo.state}
        state = {key: value for key, value in both.items() if value is not None}
        context = undo.context or context
    return state, context


def _beyond(seq: int, undos: Sequence[Undo]) -> list[Undo]:
    return [undo for undo in undos if undo.at_seq > seq]


def _undo_at(seq: int, undos: Sequence[Undo]) -> Undo | None:
    """All that was changed at this very message, as one undo for the branch that begins there.

    The changes may stand on a branch that the new one does not show, for it shows no message of it; yet a step further
    back must find them. Where it does, nothing comes of undoing the same twice.
    """
    state: JsonObject = {}
    context: Context | None = None
    for undo in undos:
        if undo.at_seq == seq:
            state = {**state, **undo.state}
            context = undo.context or context
    return Undo(seq, state, context) if seq and (state or context) else None
