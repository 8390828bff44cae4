"""Exporting a session piece by piece, and importing one. Knows no HTTP and no database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from pydantic import BaseModel

from bureau_contracts.sessions import (
    ExportedMessage,
    ExportedSegment,
    ExportedTurn,
    ExportedUndo,
    Lifecycle,
    SessionExport,
    SessionImported,
)
from kit.clock import Clock
from kit.identity import Owner, Principal, Reach
from kit.logs import get_logger
from services.sessions.branches import Shown, shown_by
from services.sessions.errors import SessionExists, SessionNotFound
from services.sessions.limits import Limits
from services.sessions.receipts import Once, receipt, repeated
from services.sessions.record import LeftBranch, Segment, SessionRecord
from services.sessions.store import SessionStore
from services.sessions.transfer import SessionRows, exported_branch, whole_of

log = get_logger(__name__)

AT_A_TIME = 500
"""Rows in memory at once, whatever the session's length."""

Range = tuple[str, int, int, int]
"""Messages of a session's branch: after < seq <= last."""


class Transferring:
    def __init__(self, store: SessionStore, rows: SessionRows, clock: Clock, limits: Limits | None = None) -> None:
        self._store, self._rows, self._clock, self._limits = store, rows, clock, limits or Limits()

    async def export(self, principal: Principal, session_id: str) -> AsyncIterator[bytes]:
        """The session as of now, as pieces of one JSON document (`SessionExport`). Raises SessionNotFound at once; a
        session that is purged meanwhile breaks the document off."""
        record, left = await self._store.branches(principal.reach(), session_id)
        log.info("session_exported", session_id=session_id)
        return self._pieces(record, left)

    async def restore(self, principal: Principal, document: SessionExport, once: Once | None = None) -> SessionImported:
        """Raises Forbidden for another user's, TooManySessions, TooManyMessages, BadExport, SessionExists."""
        owner = principal.owner(document.session.user_id)
        if answer := await self._imported(owner, document, once):
            return answer
        if document.session.lifecycle is Lifecycle.ACTIVE:
            await self._limits.check_room(self._store, owner)
        await self._limits.take_messages(principal, len(document.messages))
        # Checking thousands of messages is work for the processor: others' requests go on meanwhile.
        whole = await asyncio.to_thread(whole_of, document, owner)
        session = whole.record.session
        answer = SessionImported(session_id=session.session_id, message_count=session.message_count)
        kept = receipt(once, answer, self._clock.now()) if once else None
        try:
            await self._rows.restore(replace(whole, receipt=kept))
        except SessionExists:
            if first := await self._imported(owner, document, once):
                return first  # the same request, sent twice at once
            raise
        log.info("session_imported", session_id=session.session_id, messages=len(whole.messages))
        return answer

    async def _imported(self, owner: Owner, document: SessionExport, once: Once | None) -> SessionImported | None:
        """What was answered when it was imported under this key."""
        reach = Reach(owner.tenant, owner.user)
        try:
            return await repeated(self._store, reach, document.session.session_id, once, SessionImported)
        except SessionNotFound:
            return None

    async def _pieces(self, record: SessionRecord, left: Sequence[LeftBranch]) -> AsyncIterator[bytes]:
        session = record.session
        paths = [shown_by(record), *(shown_by(record, each) for each in left)]
        numbers = _numbers(paths)

        def lineage(segments: Sequence[Segment]) -> list[ExportedSegment]:
            return [
                ExportedSegment(branch=numbers[each.session_id, each.branch], last_seq=each.last_seq)
                for each in segments
            ]

        begin = SessionExport(
            session=session.model_copy(update={"branch": numbers[session.session_id, session.branch]}),
            context=record.context,
            lineage=lineage(record.lineage),
            last_fencing_token=record.last_fencing_token,
            branches=[
                exported_branch(each, lineage(each.lineage), numbers[session.session_id, each.branch]) for each in left
            ],
        )
        yield begin.model_dump_json(exclude={"undos", "turns", "invocations", "messages"}).encode()[:-1]
        ranges = _ranges(paths)
        async for piece in _array("undos", self._undos(session.tenant, paths, numbers)):
            yield piece
        async for piece in _array("turns", self._turns(record)):
            yield piece
        async for piece in _array("invocations", self._invocations(record)):
            yield piece
        async for piece in _array("messages", self._messages(session.tenant, ranges, numbers)):
            yield piece
        yield b"}"

    async def _messages(
        self, tenant: str, ranges: Sequence[Range], numbers: dict[tuple[str, int], int]
    ) -> AsyncIterator[Sequence[BaseModel]]:
        for session_id, branch, after, last in ranges:
            number = numbers[session_id, branch]
            while after < last:
                found = await self._rows.messages(
                    tenant, session_id, branch, after=after, before=last + 1, limit=AT_A_TIME
                )
                if not found:
                    raise RuntimeError("the session was purged while it was exported")
                yield [ExportedMessage(**dict(each), branch=number) for each in found]
                after = found[-1].seq

    async def _undos(
        self, tenant: str, paths: Sequence[Shown], numbers: dict[tuple[str, int], int]
    ) -> AsyncIterator[Sequence[BaseModel]]:
        """Also of a branch that has no message of its own yet."""
        last_seqs: dict[tuple[str, int], int] = dict.fromkeys(numbers, 0)
        for segment in (segment for path in paths for segment in path.segments()):
            place = (segment.session_id, segment.branch)
            last_seqs[place] = max(segment.last_seq, last_seqs[place])
        for (session_id, branch), last in last_seqs.items():
            found = await self._rows.undos(tenant, session_id, branch, last_seq=last)
            yield [
                ExportedUndo(
                    branch=numbers[session_id, branch], at_seq=each.at_seq, state=each.state, context=each.context
                )
                for each in found
            ]

    async def _turns(self, record: SessionRecord) -> AsyncIterator[Sequence[BaseModel]]:
        """Those that were stored before the export began."""
        session, after = record.session, ""
        while found := await self._rows.turns(session.tenant, session.session_id, after=after, limit=AT_A_TIME):
            yield [
                ExportedTurn(turn_id=each.turn_id, digest=each.digest, answer=each.answer, stored_at=each.stored_at)
                for each in found
                if each.answer.version <= session.version
            ]
            after = found[-1].turn_id

    async def _invocations(self, record: SessionRecord) -> AsyncIterator[Sequence[BaseModel]]:
        session, after = record.session, 0
        while after < record.invocation_count:
            limit = min(AT_A_TIME, record.invocation_count - after)
            found = await self._rows.invocations(session.tenant, session.session_id, after=after, limit=limit)
            if not found:
                raise RuntimeError("the session was purged while it was exported")
            yield found
            after += len(found)


async def _array(name: str, batches: AsyncIterator[Sequence[BaseModel]]) -> AsyncIterator[bytes]:
    yield f',"{name}":['.encode()
    between = ""
    async for batch in batches:
        if batch:
            yield (between + ",".join(each.model_dump_json() for each in batch)).encode()
            between = ","
    yield b"]"


def _numbers(paths: Sequence[Shown]) -> dict[tuple[str, int], int]:
    """The branch in the document of each branch that the session shows. Other sessions' come first; then its own."""
    segments = [segment for path in paths for segment in path.segments()]
    places = dict.fromkeys((segment.session_id, segment.branch) for segment in segments)
    own = paths[0].session_id
    foreign = [place for place in places if place[0] != own]
    first = min(path.branch for path in paths)
    numbers = {place: number for number, place in enumerate(foreign)}
    return numbers | {place: place[1] - first + len(foreign) for place in places if place[0] == own}


def _ranges(paths: Sequence[Shown]) -> list[Range]:
    """All that the paths show, each message once, in the order of its branch."""
    wanted: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for path in paths:
        begins = 0
        for segment in path.segments():
            if segment.last_seq > begins:
                wanted.setdefault((segment.session_id, segment.branch), []).append((begins, segment.last_seq))
            begins = max(begins, segment.last_seq)
    # What is shown of a branch always begins where the branch begins, or where a cut of its own lineage does.
    ranges: list[Range] = []
    for (session_id, branch), parts in wanted.items():
        at = -1
        for begin, last in sorted(parts):
            begin = max(begin, at)
            if last > begin:
                ranges.append((session_id, branch, begin, last))
                at = last
    return ranges
