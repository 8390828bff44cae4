"""A sessions' store that shows sessions as old as they are: what lay idle too long is expired from that moment on.

Nothing has to be written for it, so no clock and no sweep is raced with. Rules see what is shown: a decision about a
session that has expired is a decision about an expired one.
"""

from dataclasses import replace
from datetime import datetime

from bureau_contracts.sessions import Invocation, Message, Session
from kit.clock import Clock
from kit.identity import Owner, Reach
from services.sessions.lifecycle import Aging
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


class AgingSessionStore:
    def __init__(self, store: SessionStore, aging: Aging, clock: Clock) -> None:
        self._store, self._aging, self._clock = store, aging, clock

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
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
        def decide_now(current: Current) -> tuple[T, Write | None]:
            return decide(replace(current, record=self._aged(current.record)))

        return await self._store.change(
            reach,
            session_id,
            decide_now,
            turn_id=turn_id,
            receipt=receipt,
            branch=branch,
            undos_from=undos_from,
            summary=summary,
        )

    async def purge(self, reach: Reach, session_id: str) -> None:
        await self._store.purge(reach, session_id)

    async def get(self, reach: Reach, session_id: str) -> SessionRecord:
        return self._aged(await self._store.get(reach, session_id))

    async def receipt(self, reach: Reach, session_id: str, name: str) -> Receipt | None:
        return await self._store.receipt(reach, session_id, name)

    async def turn(self, reach: Reach, session_id: str, turn_id: str) -> StoredTurn | None:
        return await self._store.turn(reach, session_id, turn_id)

    async def view(
        self, reach: Reach, session_id: str, *, messages: int, invocations: int
    ) -> tuple[SessionRecord, list[Message], list[Invocation]]:
        record, last, asked = await self._store.view(reach, session_id, messages=messages, invocations=invocations)
        return self._aged(record), last, asked

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
        return await self._store.history(
            reach, session_id, after=after, before=before, limit=limit, newest=newest, branch=branch
        )

    async def window(
        self, reach: Reach, session_id: str, *, limit: int
    ) -> tuple[SessionRecord, StoredSummary | None, list[Message]]:
        record, summary, messages = await self._store.window(reach, session_id, limit=limit)
        return self._aged(record), summary, messages

    async def grown(
        self, tenant: str | None, *, active_since: datetime, characters: int, after: Grown | None, limit: int
    ) -> list[Grown]:
        since = max(active_since, self._aging.active_since(self._clock.now()) or active_since)
        return await self._store.grown(tenant, active_since=since, characters=characters, after=after, limit=limit)

    async def branches(self, reach: Reach, session_id: str) -> tuple[SessionRecord, list[LeftBranch]]:
        record, left = await self._store.branches(reach, session_id)
        return self._aged(record), left

    async def page(self, reach: Reach, listing: Listing, *, after: Position | None, limit: int) -> list[Session]:
        now = self._clock.now()
        found = dict[str, Session]()
        for each in self._aging.as_stored(listing, now):
            for session in await self._store.page(reach, each, after=after, limit=limit):
                found[session.session_id] = self._aging.as_of(session, now)
        in_order = sorted(found.values(), key=lambda each: (each.last_activity, each.session_id), reverse=True)
        return in_order[:limit]

    async def count(self, reach: Reach, listing: Listing, *, limit: int) -> int:
        listings = self._aging.as_stored(listing, self._clock.now())
        return min(limit, sum([await self._store.count(reach, each, limit=limit) for each in listings]))

    async def tenants(self, *, after: str, limit: int) -> list[str]:
        return await self._store.tenants(after=after, limit=limit)

    async def drop_receipts(self, *, before: datetime, limit: int) -> int:
        return await self._store.drop_receipts(before=before, limit=limit)

    async def forget_shared_state(self, owner: Owner) -> bool:
        return await self._store.forget_shared_state(owner)

    def _aged(self, record: SessionRecord) -> SessionRecord:
        return replace(record, session=self._aging.as_of(record.session, self._clock.now()))
