"""Export and import of a session, loss-free: the port of the rows, and what a document must be to become a session."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from bureau_contracts.sessions import (
    ExportedBranch,
    ExportedMessage,
    ExportedSegment,
    Invocation,
    Message,
    NewInvocation,
    NewMessage,
    Session,
    SessionExport,
    SessionId,
)
from bureau_contracts.shapes import SubjectId
from kit.errors import Invalid
from kit.identity import Owner
from services.sessions import scopes
from services.sessions.record import LeftBranch, Receipt, Segment, SessionRecord, StoredTurn, Undo

GREATEST = 2**53
MOST_SHOWN = 2_000_000
"""Messages that all branches of an import show together, each counted on every branch: what is checked one by one."""
_SESSION_ID, _USER_ID = TypeAdapter[str](SessionId), TypeAdapter[str](SubjectId)


@dataclass(frozen=True, slots=True)
class Whole:
    """A session with everything in it, on branches of its own."""

    record: SessionRecord
    left: Sequence[LeftBranch]
    messages: Sequence[tuple[int, Message]]
    """Each with its branch."""
    invocations: Sequence[Invocation]
    turns: Sequence[StoredTurn]
    undos: Sequence[tuple[int, Undo]]
    receipt: Receipt | None = None
    """Of the import itself."""


class SessionRows(Protocol):
    """What an export reads beside the store's own port, and what an import writes. `tenant` and `session_id` come from
    a session that was found within reach, or from its lineage."""

    async def messages(
        self, tenant: str, session_id: str, branch: int, *, after: int, before: int, limit: int
    ) -> list[Message]:
        """Those of one branch with after < seq < before, in order; at most `limit`."""

    async def invocations(self, tenant: str, session_id: str, *, after: int, limit: int) -> list[Invocation]:
        """Those behind the first `after`, in order."""

    async def turns(self, tenant: str, session_id: str, *, after: str, limit: int) -> list[StoredTurn]:
        """By their ids, from behind `after`."""

    async def undos(self, tenant: str, session_id: str, branch: int, *, last_seq: int) -> list[Undo]:
        """The oldest first."""

    async def restore(self, whole: Whole) -> None:
        """All of it or nothing. Raises SessionExists. Where an id's branches are taken by what a fork shows of an
        earlier session, all of its branches count from behind those."""


class BadExport(Invalid):
    code = "bad_export"


def whole_of(document: SessionExport, owner: Owner) -> Whole:
    """The session that a document is of, as the owner's. Raises BadExport unless everything it shows is there, once."""
    session = document.session
    try:
        _SESSION_ID.validate_python(session.session_id)
        _USER_ID.validate_python(session.user_id)
        for message in document.messages:
            NewMessage.model_validate(_given(message, NewMessage))
        for invocation in document.invocations:
            NewInvocation.model_validate(_given(invocation, NewInvocation))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadExport(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    _check(document)
    owned = session.model_copy(
        update={"tenant": owner.tenant, "user_id": owner.user, "state": scopes.own(session.state)}
    )
    return Whole(
        SessionRecord(
            owned,
            document.context,
            len(document.invocations),
            document.last_fencing_token,
            lineage=_own(session, document.lineage),
        ),
        [
            LeftBranch(
                each.branch, _own(session, each.lineage), each.message_count, each.left_at, each.state, each.context
            )
            for each in document.branches
        ],
        [(each.branch, _plain(each)) for each in document.messages],
        document.invocations,
        [StoredTurn(each.turn_id, each.digest, each.answer, each.stored_at) for each in document.turns],
        [(each.branch, Undo(each.at_seq, each.state, each.context)) for each in document.undos],
    )


def shifted(whole: Whole, by: int) -> Whole:
    """The same on branches that count from `by`."""
    if not by:
        return whole
    session = whole.record.session

    def behind(lineage: Iterable[Segment]) -> tuple[Segment, ...]:
        return tuple(replace(segment, branch=segment.branch + by) for segment in lineage)

    record = replace(
        whole.record,
        session=session.model_copy(update={"branch": session.branch + by}),
        lineage=behind(whole.record.lineage),
    )
    return replace(
        whole,
        record=record,
        left=[replace(each, branch=each.branch + by, lineage=behind(each.lineage)) for each in whole.left],
        messages=[(branch + by, message) for branch, message in whole.messages],
        undos=[(branch + by, undo) for branch, undo in whole.undos],
    )


def _plain(exported: ExportedMessage) -> Message:
    return Message(**{name: getattr(exported, name) for name in Message.model_fields})


def _given(item: Message | Invocation, model: type[NewMessage] | type[NewInvocation]) -> dict[str, object]:
    return {name: getattr(item, name) for name in model.model_fields if hasattr(item, name)}


def _own(session: Session, lineage: Iterable[ExportedSegment]) -> tuple[Segment, ...]:
    return tuple(Segment(session.session_id, each.branch, each.last_seq) for each in lineage)


def _check(document: SessionExport) -> None:
    """Every message that the session shows, now or on a branch it left, is there once; and no other one."""
    session = document.session
    paths = [(document.lineage, session.branch, session.message_count)]
    paths += [(each.lineage, each.branch, each.message_count) for each in document.branches]
    numbers = [branch for _, branch, _ in paths]
    if len(set(numbers)) != len(numbers) or any(each.branch >= session.branch for each in document.branches):
        raise BadExport("branches: each once, and the session's own behind all that were left")
    if sum(count for _, _, count in paths) > MOST_SHOWN:
        raise BadExport(f"branches: together they show more than {MOST_SHOWN} messages")
    shown: set[tuple[int, int]] = set()
    there = {(each.branch, each.seq) for each in document.messages}
    for lineage, branch, count in paths:
        shown |= _shown([*lineage, ExportedSegment(branch=branch, last_seq=count)], branch, len(there))
    if len(there) != len(document.messages) or there != shown:
        raise BadExport("messages: a session shows 1, 2, 3 … without gap or double, and has no others")
    if len({each.message_id for each in document.messages}) != len(document.messages):
        raise BadExport("messages: a message_id is there twice")
    if len({each.turn_id for each in document.turns}) != len(document.turns):
        raise BadExport("turns: a turn_id is there twice")
    places = {branch for branch, _ in there} | set(numbers)
    if any(each.branch not in places or not 0 <= each.at_seq <= GREATEST for each in document.undos):
        raise BadExport("undos: of a branch that is not there")
    if not 1 <= session.version <= GREATEST:
        raise BadExport("session.version: counts from 1")


def _shown(segments: Sequence[ExportedSegment], own: int, most: int) -> set[tuple[int, int]]:
    begins, shown = 0, set[tuple[int, int]]()
    for number, segment in enumerate(segments):
        grows = segment.last_seq > begins or (number == len(segments) - 1 and segment.last_seq >= begins)
        # A segment can show no more than all the messages there are: nobody's number makes us count for long.
        if not grows or segment.last_seq > most or not 0 <= segment.branch <= own:
            raise BadExport("lineage: segments go on from each other, on branches before the session's own")
        shown |= {(segment.branch, seq) for seq in range(begins + 1, segment.last_seq + 1)}
        begins = segment.last_seq
    return shown


def exported_branch(left: LeftBranch, lineage: list[ExportedSegment], branch: int) -> ExportedBranch:
    return ExportedBranch(
        branch=branch,
        lineage=lineage,
        message_count=left.message_count,
        left_at=left.left_at,
        state=left.state,
        context=left.context,
    )
