"""The sessions' store in memory: a real one, for tests. It remembers as long as it lives."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from bureau_contracts.sessions import Invocation, Lifecycle, Message, Session
from bureau_contracts.shapes import JsonObject
from kit.identity import Owner, Reach
from services.sessions.branches import Shown, shown_by
from services.sessions.errors import BranchNotFound, SessionExists, SessionNotFound
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
    Undo,
    Write,
)
from services.sessions.scopes import merged
from services.sessions.store import Decide, T
from services.sessions.transfer import Whole, shifted

K = TypeVar("K")


@dataclass
class _Kept:
    record: SessionRecord
    invocations: list[Invocation] = field(default_factory=list)
    turns: dict[str, StoredTurn] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    left: dict[int, LeftBranch] = field(default_factory=dict)
    inherited_agents: set[str | None] = field(default_factory=set)
    """Of the session that it was forked from."""

    @property
    def first_branch(self) -> int:
        return min([self.record.session.branch, *self.left])

    def remember(self, write: Write) -> None:
        self.record = write.record
        self.invocations.extend(write.invocations)
        if write.turn is not None:
            self.turns[write.turn.turn_id] = write.turn
        if write.receipt is not None:
            self.receipts[write.receipt.name] = write.receipt
        if write.left is not None:
            self.left[write.left.branch] = write.left


_LONG = {"content", "tool_calls", "tool_results"}

_Place = tuple[str, str, int]
"""Tenant, session and branch."""


class MemorySessionStore:
    """No method gives way to another one in its middle, so each is a transaction."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._messages: defaultdict[_Place, list[Message]] = defaultdict(list)
        self._undos: defaultdict[_Place, list[Undo]] = defaultdict(list)
        """The newest last."""
        self._summaries: defaultdict[_Place, dict[int, StoredSummary]] = defaultdict(dict)
        """By the last seq that they cover."""
        self._shared: dict[Owner, JsonObject] = {}
        """By user, and by tenant under the user ''."""

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def ping(self) -> str:
        return "memory"

    async def create(
        self, record: SessionRecord, *, shared: SharedState | None = None, receipt: Receipt | None = None
    ) -> None:
        key = (record.session.tenant, record.session.session_id)
        if key in self._kept:
            raise SessionExists(record.session.session_id)
        kept = self._kept[key] = _Kept(self._on_a_free_branch(record))
        self._merge_shared(record.session, shared)
        if receipt is not None:
            kept.receipts[receipt.name] = receipt

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
        kept = self._find(reach, session_id)
        left = _left(kept, branch)
        undos = [] if undos_from is None else self._undone(reach.tenant, shown_by(kept.record, left), undos_from)
        made = self._summary(reach.tenant, shown_by(kept.record)) if summary else None
        turn, done = kept.turns.get(turn_id or ""), kept.receipts.get(receipt or "")
        answer, write = decide(Current(self._record(kept), turn, undos, left, made, done))
        if write is not None:
            if write.created is not None:
                await self.create(write.created)
                created = write.created.session
                fork = self._kept[created.tenant, created.session_id]
                fork.inherited_agents = self._agents(kept)
                if write.created_undo is not None:
                    begun = (created.tenant, created.session_id, fork.record.session.branch)
                    self._undos[begun].append(write.created_undo)
            kept.remember(write)
            session = write.record.session
            place = (session.tenant, session.session_id, session.branch)
            self._messages[place].extend(write.messages)
            self._undos[place].extend([write.undo] if write.undo else [])
            if (gone := write.discarded) is not None:
                self._summaries[session.tenant, gone.session_id, gone.branch].pop(gone.last_seq, None)
            if (new := write.summary) is not None:
                self._summaries[session.tenant, new.place.session_id, new.place.branch][new.place.last_seq] = new
            self._merge_shared(session, write.shared)
        return answer

    async def purge(self, reach: Reach, session_id: str) -> None:
        self._find(reach, session_id)
        del self._kept[reach.tenant, session_id]
        for place in [place for place in self._messages.keys() | self._undos.keys() if place[0] == reach.tenant]:
            last = self._last_seq_shown(place)
            self._messages[place] = [message for message in self._messages[place] if message.seq <= last]
            self._undos[place] = [undo for undo in self._undos[place] if undo.at_seq <= last]
            made = self._summaries[place]
            self._summaries[place] = {seq: each for seq, each in made.items() if seq <= last}

    async def get(self, reach: Reach, session_id: str) -> SessionRecord:
        return self._record(self._find(reach, session_id))

    async def receipt(self, reach: Reach, session_id: str, name: str) -> Receipt | None:
        return self._find(reach, session_id).receipts.get(name)

    async def turn(self, reach: Reach, session_id: str, turn_id: str) -> StoredTurn | None:
        return self._find(reach, session_id).turns.get(turn_id)

    async def view(
        self, reach: Reach, session_id: str, *, messages: int, invocations: int
    ) -> tuple[SessionRecord, list[Message], list[Invocation]]:
        kept = self._find(reach, session_id)
        last = _last(self._shown(reach.tenant, shown_by(kept.record)), messages)
        return self._record(kept), last, _last(kept.invocations, invocations)

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
        kept = self._find(reach, session_id)
        shown = shown_by(kept.record, _left(kept, branch))
        between = [message for message in self._shown(reach.tenant, shown) if after < message.seq < before]
        return shown.message_count, _last(between, limit) if newest else between[:limit]

    async def window(
        self, reach: Reach, session_id: str, *, limit: int
    ) -> tuple[SessionRecord, StoredSummary | None, list[Message]]:
        kept = self._find(reach, session_id)
        shown = shown_by(kept.record)
        made = self._summary(reach.tenant, shown)
        behind = [each for each in self._shown(reach.tenant, shown) if made is None or each.seq > made.place.last_seq]
        return self._record(kept), made, _last(behind, limit)

    async def grown(
        self, tenant: str | None, *, active_since: datetime, characters: int, after: Grown | None, limit: int
    ) -> list[Grown]:
        behind = (after.tenant, after.session_id) if after else ("", "")
        found = [
            place
            for place, kept in self._kept.items()
            if tenant in (None, place[0])
            and place > behind
            and kept.record.session.lifecycle is Lifecycle.ACTIVE
            and kept.record.session.last_activity >= active_since
            and self._characters(kept.record.session) >= characters
        ]
        return [Grown(*place) for place in sorted(found)[:limit]]

    async def branches(self, reach: Reach, session_id: str) -> tuple[SessionRecord, list[LeftBranch]]:
        kept = self._find(reach, session_id)
        return self._record(kept), list(kept.left.values())

    async def page(self, reach: Reach, listing: Listing, *, after: Position | None, limit: int) -> list[Session]:
        found = [
            kept.record.session
            for kept in self._kept.values()
            if (session := kept.record.session).tenant == reach.tenant
            and reach.user in (None, session.user_id)
            and self._listed(kept, listing)
            and (after is None or _position(session) < (after.last_activity, after.session_id))
        ]
        return sorted(found, key=_position, reverse=True)[:limit]

    async def count(self, reach: Reach, listing: Listing, *, limit: int) -> int:
        return len(await self.page(reach, listing, after=None, limit=limit))

    async def tenants(self, *, after: str, limit: int) -> list[str]:
        return sorted({tenant for tenant, _ in self._kept if tenant > after})[:limit]

    async def drop_receipts(self, *, before: datetime, limit: int) -> int:
        old = [
            (kept, name)
            for kept in self._kept.values()
            for name, receipt in kept.receipts.items()
            if receipt.stored_at < before
        ][:limit]
        for kept, name in old:
            del kept.receipts[name]
        return len(old)

    async def forget_shared_state(self, owner: Owner) -> bool:
        return self._shared.pop(owner, None) is not None

    async def messages(
        self, tenant: str, session_id: str, branch: int, *, after: int, before: int, limit: int
    ) -> list[Message]:
        found = [each for each in self._messages[tenant, session_id, branch] if after < each.seq < before]
        return found[:limit]

    async def invocations(self, tenant: str, session_id: str, *, after: int, limit: int) -> list[Invocation]:
        kept = self._kept.get((tenant, session_id))
        return kept.invocations[after : after + limit] if kept else []

    async def turns(self, tenant: str, session_id: str, *, after: str, limit: int) -> list[StoredTurn]:
        kept = self._kept.get((tenant, session_id))
        turns = kept.turns.values() if kept else ()
        found = [each for each in turns if each.turn_id > after and each.turn_id.startswith("turn-")]
        return sorted(found, key=lambda each: each.turn_id)[:limit]

    async def undos(self, tenant: str, session_id: str, branch: int, *, last_seq: int) -> list[Undo]:
        return [each for each in self._undos[tenant, session_id, branch] if each.at_seq <= last_seq]

    async def restore(self, whole: Whole) -> None:
        session = whole.record.session
        first = self._on_a_free_branch(replace(whole.record, session=session.model_copy(update={"branch": 0})))
        placed = shifted(whole, first.session.branch)
        if (session.tenant, session.session_id) in self._kept:
            raise SessionExists(session.session_id)
        self._kept[session.tenant, session.session_id] = _Kept(
            placed.record,
            left={each.branch: each for each in placed.left},
            invocations=list(placed.invocations),
            turns={each.turn_id: each for each in placed.turns},
            receipts={placed.receipt.name: placed.receipt} if placed.receipt else {},
        )
        for branch, message in placed.messages:
            self._messages[session.tenant, session.session_id, branch].append(message)
        for branch, undo in placed.undos:
            self._undos[session.tenant, session.session_id, branch].append(undo)

    def shown(self) -> Iterator[tuple[Session, list[Message]]]:
        """Every session, of whomever, with the messages that it shows."""
        for kept in self._kept.values():
            session = kept.record.session
            yield session, self._shown(session.tenant, shown_by(kept.record))

    def _record(self, kept: _Kept) -> SessionRecord:
        session = kept.record.session
        users, apps = Owner(session.tenant, session.user_id), Owner(session.tenant, "")
        return replace(kept.record, shared={**self._shared.get(users, {}), **self._shared.get(apps, {})})

    def _merge_shared(self, session: Session, shared: SharedState | None) -> None:
        if shared is not None:
            for user, changes in ((session.user_id, shared.user), ("", shared.app)):
                owner = Owner(session.tenant, user)
                if changes:
                    self._shared[owner] = merged(self._shared.get(owner, {}), changes)

    def _shown(self, tenant: str, shown: Shown) -> list[Message]:
        return [
            message
            for stretch in shown.stretches(0, shown.message_count + 1)
            for message in self._messages[tenant, stretch.session_id, stretch.branch]
            if stretch.after < message.seq < stretch.before
        ]

    def _summary(self, tenant: str, shown: Shown) -> StoredSummary | None:
        for segment in reversed(shown.segments()):
            made = self._summaries[tenant, segment.session_id, segment.branch]
            if fitting := [seq for seq in made if seq <= segment.last_seq]:
                return made[max(fitting)]
        return None

    def _characters(self, session: Session) -> int:
        """Behind the last summary on the branch that the session writes to."""
        place = (session.tenant, session.session_id, session.branch)
        covered = max(self._summaries[place], default=0)
        behind = [message for message in self._messages[place] if message.seq > covered]
        return sum(len(message.model_dump_json(include=_LONG)) for message in behind)

    def _undone(self, tenant: str, shown: Shown, first: int) -> list[Undo]:
        return [
            undo
            for segment in reversed(shown.segments())
            for undo in reversed(self._undos[tenant, segment.session_id, segment.branch])
            if min(first, shown.message_count) <= undo.at_seq <= segment.last_seq
        ]

    def _last_seq_shown(self, place: _Place) -> float:
        """How far any session shows this branch; -1 when none does."""
        tenant, session_id, branch = place
        last = -1.0
        for kept in self._kept.values():
            session = kept.record.session
            if session.tenant != tenant:
                continue
            if session.session_id == session_id and branch >= kept.first_branch:
                return math.inf
            lineages = [kept.record.lineage, *(left.lineage for left in kept.left.values())]
            segments = [segment for lineage in lineages for segment in lineage]
            shown = [each.last_seq for each in segments if (each.session_id, each.branch) == (session_id, branch)]
            last = max([last, *shown])
        return last

    def _on_a_free_branch(self, record: SessionRecord) -> SessionRecord:
        """As messages of an earlier session of this id may still be shown by a fork of it."""
        session = record.session
        taken = [
            branch
            for (tenant, session_id, branch), messages in self._messages.items()
            if (tenant, session_id) == (session.tenant, session.session_id) and messages
        ]
        branch = max(taken, default=-1) + 1
        return replace(record, session=session.model_copy(update={"branch": branch})) if branch else record

    def _listed(self, kept: _Kept, listing: Listing) -> bool:
        session, agent = kept.record.session, listing.agent
        return (
            session.lifecycle is listing.lifecycle
            and listing.status in (None, session.status)
            and (listing.since is None or listing.since <= session.last_activity)
            and (listing.until is None or session.last_activity < listing.until)
            and (agent is None or agent in self._agents(kept))
        )

    def _agents(self, kept: _Kept) -> set[str | None]:
        """Of all branches: whoever took part did, also when one went back since."""
        session = kept.record.session
        own = [
            message.agent
            for (tenant, session_id, _), messages in self._messages.items()
            if (tenant, session_id) == (session.tenant, session.session_id)
            for message in messages
        ]
        return {*own, *kept.inherited_agents, *(invocation.agent_name for invocation in kept.invocations)}

    def _find(self, reach: Reach, session_id: str) -> _Kept:
        kept = self._kept.get((reach.tenant, session_id))
        if kept is None or reach.user not in (None, kept.record.session.user_id):
            raise SessionNotFound(session_id)
        return kept


def _left(kept: _Kept, branch: int | None) -> LeftBranch | None:
    """None for the branch that is written to. Raises BranchNotFound."""
    if branch in (None, kept.record.session.branch):
        return None
    if branch not in kept.left:
        raise BranchNotFound(branch or 0)
    return kept.left[branch or 0]


def _position(session: Session) -> tuple[datetime, str]:
    return session.last_activity, session.session_id


def _last(things: list[K], count: int) -> list[K]:
    return things[-count:] if count else []
