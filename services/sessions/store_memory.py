"""The sessions' store in memory: a real one, for tests. It remembers as long as it lives."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from bureau_contracts.sessions import Invocation, Message, Session
from kit.identity import Reach
from services.sessions.errors import SessionExists, SessionNotFound
from services.sessions.record import Current, Listing, Position, SessionRecord, StoredTurn, Write
from services.sessions.store import Decide, T

K = TypeVar("K")


@dataclass
class _Kept:
    record: SessionRecord
    messages: list[Message] = field(default_factory=list)
    invocations: list[Invocation] = field(default_factory=list)
    turns: dict[str, StoredTurn] = field(default_factory=dict)

    def remember(self, write: Write) -> None:
        self.record = write.record
        self.messages.extend(write.messages)
        self.invocations.extend(write.invocations)
        if write.turn is not None:
            self.turns[write.turn.turn_id] = write.turn


class MemorySessionStore:
    """No method gives way to another one in its middle, so each is a transaction."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def ping(self) -> str:
        return "memory"

    async def create(self, record: SessionRecord) -> None:
        key = (record.session.tenant, record.session.session_id)
        if key in self._kept:
            raise SessionExists(record.session.session_id)
        self._kept[key] = _Kept(record)

    async def change(self, reach: Reach, session_id: str, decide: Decide[T], *, turn_id: str | None = None) -> T:
        kept = self._find(reach, session_id)
        answer, write = decide(Current(kept.record, kept.turns.get(turn_id or "")))
        if write is not None:
            kept.remember(write)
        return answer

    async def purge(self, reach: Reach, session_id: str) -> None:
        self._find(reach, session_id)
        del self._kept[reach.tenant, session_id]

    async def get(self, reach: Reach, session_id: str) -> SessionRecord:
        return self._find(reach, session_id).record

    async def turn(self, reach: Reach, session_id: str, turn_id: str) -> StoredTurn | None:
        return self._find(reach, session_id).turns.get(turn_id)

    async def view(
        self, reach: Reach, session_id: str, *, messages: int, invocations: int
    ) -> tuple[SessionRecord, list[Message], list[Invocation]]:
        kept = self._find(reach, session_id)
        return kept.record, _last(kept.messages, messages), _last(kept.invocations, invocations)

    async def history(
        self, reach: Reach, session_id: str, *, after: int, before: int, limit: int, newest: bool
    ) -> tuple[int, list[Message]]:
        kept = self._find(reach, session_id)
        between = [message for message in kept.messages if after < message.seq < before]
        return len(kept.messages), _last(between, limit) if newest else between[:limit]

    async def page(self, reach: Reach, listing: Listing, *, after: Position | None, limit: int) -> list[Session]:
        found = [
            kept.record.session
            for kept in self._kept.values()
            if (session := kept.record.session).tenant == reach.tenant
            and reach.user in (None, session.user_id)
            and _listed(kept, listing)
            and (after is None or _position(session) < (after.last_activity, after.session_id))
        ]
        return sorted(found, key=_position, reverse=True)[:limit]

    def _find(self, reach: Reach, session_id: str) -> _Kept:
        kept = self._kept.get((reach.tenant, session_id))
        if kept is None or reach.user not in (None, kept.record.session.user_id):
            raise SessionNotFound(session_id)
        return kept


def _listed(kept: _Kept, listing: Listing) -> bool:
    session, agent = kept.record.session, listing.agent
    return (
        session.lifecycle is listing.lifecycle
        and listing.status in (None, session.status)
        and (listing.since is None or listing.since <= session.last_activity)
        and (listing.until is None or session.last_activity < listing.until)
        and (
            agent is None
            or any(message.agent == agent for message in kept.messages)
            or any(invocation.agent_name == agent for invocation in kept.invocations)
        )
    )


def _position(session: Session) -> tuple[datetime, str]:
    return session.last_activity, session.session_id


def _last(things: list[K], count: int) -> list[K]:
    return things[-count:] if count else []
