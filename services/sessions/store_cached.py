"""A sessions' store with a cache of the ends of sessions in front. What is true, the store behind it says.

Every read asks that store for the session's record, within the caller's reach, and takes the messages from the cache
only when they bear that very record's stamp (see `tails`). So nobody can be shown what is old, erased, or somebody
else's, whatever became of the cache meanwhile, and a change need not wait for a cache that is away.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from bureau_contracts.sessions import Invocation, Message, Session
from kit.identity import Owner, Reach
from kit.tasks import together
from services.sessions.record import (
    Current,
    Grown,
    LeftBranch,
    Listing,
    Position,
    Receipt,
    SessionRecord,
    SharedState,
    StoredSummary,
    StoredTurn,
    Write,
)
from services.sessions.store import Decide, SessionStore, T
from services.sessions.tails import KEPT, Place, Tail, Tails, stamp_of, tail_of

CLAIM_LOOKS, CLAIM_LOOK_SECONDS = 5, 0.01
"""How often, and how far apart, one looks whether another process has read the session into the cache."""

FAR = 2**52
"""Messages before a seq beyond this are simply the last ones: what a client asks for first, and what is cached."""

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class _End:
    record: SessionRecord
    tail: Tail


class CachedSessionStore:
    def __init__(self, store: SessionStore, tails: Tails) -> None:
        self._store, self._tails = store, tails
        self.behind = store
        """What else reads where the messages are kept asks this one."""
        self._reading: dict[tuple[Place, str], asyncio.Future[_End | None]] = {}

    async def open(self) -> None:
        await self._store.open()
        await self._tails.open()

    async def close(self) -> None:
        await self._tails.close()
        await self._store.close()

    async def ping(self) -> str:
        return await self._store.ping()

    async def create(
        self, record: SessionRecord, *, shared: SharedState | None = None, receipt: Receipt | None = None
    ) -> None:
        await self._store.create(record, shared=shared, receipt=receipt)

    async def change(
        self,
        reach: Reach,
        session_id: str,
        decide: Decide[T],
        *,
        turn_id: str | None = None,
        receipt: str | None = None,
        branch: int | None = None,
        undos_from: int | None = None,
        summary: bool = False,
    ) -> T:
        made: list[tuple[SessionRecord, Write]] = []

        def watched(current: Current) -> tuple[T, Write | None]:
            answer, write = decide(current)
            made[:] = [] if write is None else [(current.record, write)]  # the last try is the one that counts
            return answer, write

        answer = await self._store.change(
            reach,
            session_id,
            watched,
            turn_id=turn_id,
            receipt=receipt,
            branch=branch,
            undos_from=undos_from,
            summary=summary,
        )
        for before, write in made:
            await self._extend(before, write)
        return answer

    async def purge(self, reach: Reach, session_id: str) -> None:
        await self._store.purge(reach, session_id)
        await self._tails.forget(Place(reach.tenant, session_id))

    async def get(self, reach: Reach, session_id: str) -> SessionRecord:
        return await self._store.get(reach, session_id)

    async def receipt(self, reach: Reach, session_id: str, name: str) -> Receipt | None:
        return await self._store.receipt(reach, session_id, name)

    async def turn(self, reach: Reach, session_id: str, turn_id: str) -> StoredTurn | None:
        return await self._store.turn(reach, session_id, turn_id)

    async def view(
        self, reach: Reach, session_id: str, *, messages: int, invocations: int
    ) -> tuple[SessionRecord, list[Message], list[Invocation]]:
        if messages > KEPT or invocations > KEPT:
            return await self._store.view(reach, session_id, messages=messages, invocations=invocations)
        end = await self._end(reach, session_id, messages=messages, invocations=invocations)
        return end.record, _last(end.tail.messages, messages), _last(end.tail.invocations, invocations)

    async def history(
        self,
        reach: Reach,
        session_id: str,
        *,
        after: int,
        before: int,
        limit: int,
        newest: bool,
        branch: int | None = None,
    ) -> tuple[int, list[Message]]:
        if branch is None and limit <= KEPT and (before > FAR if newest else after > 0):
            end = await self._end(reach, session_id, messages=limit if newest else KEPT, invocations=0)
            count, kept = end.record.session.message_count, end.tail.messages
            between = [message for message in kept if after < message.seq < before]
            if after >= count - len(kept) or (newest and len(between) >= limit):
                return count, _last(between, limit) if newest else between[:limit]
        return await self._store.history(
            reach, session_id, after=after, before=before, limit=limit, newest=newest, branch=branch
        )

    async def window(
        self, reach: Reach, session_id: str, *, limit: int
    ) -> tuple[SessionRecord, StoredSummary | None, list[Message]]:
        return await self._store.window(reach, session_id, limit=limit)

    async def grown(
        self, tenant: str | None, *, active_since: datetime, characters: int, after: Grown | None, limit: int
    ) -> list[Grown]:
        return await self._store.grown(
            tenant, active_since=active_since, characters=characters, after=after, limit=limit
        )

    async def branches(self, reach: Reach, session_id: str) -> tuple[SessionRecord, list[LeftBranch]]:
        return await self._store.branches(reach, session_id)

    async def page(self, reach: Reach, listing: Listing, *, after: Position | None, limit: int) -> list[Session]:
        return await self._store.page(reach, listing, after=after, limit=limit)

    async def count(self, reach: Reach, listing: Listing, *, limit: int) -> int:
        return await self._store.count(reach, listing, limit=limit)

    async def tenants(self, *, after: str, limit: int) -> list[str]:
        return await self._store.tenants(after=after, limit=limit)

    async def drop_receipts(self, *, before: datetime, limit: int) -> int:
        return await self._store.drop_receipts(before=before, limit=limit)

    async def forget_shared_state(self, owner: Owner) -> bool:
        return await self._store.forget_shared_state(owner)

    async def _extend(self, before: SessionRecord, write: Write) -> None:
        session, stamp = write.record.session, stamp_of(write.record)
        if before.incarnation and stamp != stamp_of(before):
            added = Tail(stamp, write.messages, write.invocations)
            place = Place(session.tenant, session.session_id)
            await self._tails.extend(place, before if _grew(before, write) else None, added)

    async def _end(self, reach: Reach, session_id: str, *, messages: int, invocations: int) -> _End:
        """The record as it is now, and at least so much of the tail that belongs to it."""
        place = Place(reach.tenant, session_id)
        kept, record = await together(self._tails.find(place), self._store.get(reach, session_id))
        if kept is not None:
            if tail := tail_of(kept, record, messages=messages, invocations=invocations):
                return _End(record, tail)
            if kept.too_large and kept.stamp == stamp_of(record):
                return await self._read(reach, place)
        return await (self._read_once(reach, place, record) if record.incarnation else self._read(reach, place))

    async def _read_once(self, reach: Reach, place: Place, record: SessionRecord) -> _End:
        """Those who miss the same tail at the same time read it once."""
        key = (place, stamp_of(record))
        if key in self._reading:
            return await self._read_by_another(reach, place, record)
        reading: asyncio.Future[_End | None] = asyncio.get_running_loop().create_future()
        self._reading[key] = reading
        end = None
        try:
            end = await self._fill(reach, place, record)
            return end
        finally:
            del self._reading[key]
            reading.set_result(end)

    async def _read_by_another(self, reach: Reach, place: Place, record: SessionRecord) -> _End:
        """What was read may be older than `record`, which was read within this very call; then it is no answer."""
        stamp = stamp_of(record)
        end = await asyncio.shield(self._reading[place, stamp])
        if end is None or end.tail.stamp < stamp:
            return await self._read(reach, place)
        return _End(record, end.tail) if end.tail.stamp == stamp else end

    async def _fill(self, reach: Reach, place: Place, record: SessionRecord) -> _End:
        """Reads the tail into the cache, unless another process is about to: then waits a moment for that one's."""
        for _ in range(CLAIM_LOOKS):
            if await self._tails.claim(place, stamp_of(record)):
                break
            kept = await self._tails.find(place)
            if kept is not None and (tail := tail_of(kept, record, messages=KEPT, invocations=KEPT)):
                return _End(record, tail)
            await asyncio.sleep(CLAIM_LOOK_SECONDS)
        end = await self._read(reach, place)
        await self._tails.keep(place, end.tail)
        return end

    async def _read(self, reach: Reach, place: Place) -> _End:
        record, messages, invocations = await self._store.view(reach, place.session_id, messages=KEPT, invocations=KEPT)
        return _End(record, Tail(stamp_of(record), messages, invocations))


def _last(things: Sequence[K], count: int) -> list[K]:
    return list(things[-count:]) if count else []


def _grew(before: SessionRecord, write: Write) -> bool:
    """Whether the session shows what it showed, and then what was written; a step back in it does not."""
    session, after = before.session, write.record.session
    messages, invocations = len(write.messages), len(write.invocations)
    return (
        after.branch == session.branch
        and after.message_count == session.message_count + messages
        and write.record.invocation_count == before.invocation_count + invocations
    )
