"""A store of sessions beside a model of it: who is there, and whether they are shown what they should be shown."""

import asyncio
import itertools
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant

from bureau_contracts.sessions import Lifecycle
from bureau_contracts.shapes import JsonObject
from kit.identity import TENANT_WIDE, Principal
from services.sessions.branching import Branching
from services.sessions.errors import SessionNotFound
from services.sessions.lifecycle import Aging
from services.sessions.record import Listing
from services.sessions.retention import Retention
from services.sessions.search import MessageIndex, SearchService
from services.sessions.service import SessionsService
from services.sessions.store import SessionStore
from services.sessions.store_aging import AgingSessionStore
from tests.fakes import FixedClock
from tests.session_model import IDLE, ModelSession, ModelSessions, Path, Refusal

T = TypeVar("T")

STEP_SECONDS = 30
_numbers = itertools.count(1)


class World:
    """One open store. Every example takes tenants of its own there."""

    def __init__(self, store: SessionStore, index: MessageIndex, loop: asyncio.AbstractEventLoop) -> None:
        self.store, self.index, self._loop = store, index, loop

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        """Called by the thread that the examples run in."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(STEP_SECONDS)


class Beside(RuleBasedStateMachine):
    world: World
    """Set in a subclass: Hypothesis makes the instances."""

    def __init__(self) -> None:
        super().__init__()
        number = next(_numbers)
        self.clock, self.model = FixedClock(), ModelSessions()
        aging = Aging(IDLE)
        store = AgingSessionStore(self.world.store, aging, self.clock)
        self.sessions, self.branching = SessionsService(store, self.clock), Branching(store, self.clock)
        self.retention = Retention(store, self.clock, aging)
        self.searching = SearchService(self.world.index)
        self.anna, self.ben = Principal(f"acme-{number}", "anna"), Principal(f"acme-{number}", "ben")
        self.olga = Principal(f"acme-{number}", "olga", scopes=frozenset({TENANT_WIDE}))
        self.cleo = Principal(f"globex-{number}", "anna")
        self.touched: set[tuple[str, str]] = set()
        self._texts = (f"word number{number}" for number in itertools.count(1))
        self._turns = (f"turn-{number}" for number in itertools.count(1))

    def who(self, person: str, session_id: str) -> Principal:
        session = self.model.kept.get((self.anna.tenant, session_id))
        owner = self.ben if session is not None and session.user == "ben" else self.anna
        other = self.anna if owner is self.ben else self.ben
        return {"owner": owner, "another user": other, "another tenant": self.cleo, "tenant-wide": self.olga}[person]

    def texts(self, count: int) -> list[str]:
        return list(itertools.islice(self._texts, count))

    def token(self, session: ModelSession | None, choice: str) -> int | None:
        right = session.lease.token if session and session.lease else None
        return {"right": right, "none": None, "stale": (right or 1) - 1}[choice]

    def attempt(self, refusal: Refusal, doing: Coroutine[Any, Any, T]) -> T | None:
        """What was answered; None when it was refused, as it had to be."""
        if refusal is None:
            return self.world.run(doing)
        with pytest.raises(refusal):
            self.world.run(doing)
        return None

    def find(self, who: Principal, session_id: str) -> tuple[ModelSession | None, Refusal]:
        self.touched.add((who.tenant, session_id))
        session = self.model.find(who, session_id)
        return session, SessionNotFound if session is None else None

    def begin(self, who: Principal, session_id: str, owner: str, path: Path) -> None:
        now, view = self.clock.now(), self.world.run(self.sessions.view(who, session_id, 0))
        self.model.kept[who.tenant, session_id] = ModelSession(owner, path, view.session.branch, now, now)
        self.touched.add((who.tenant, session_id))

    @invariant()
    def what_was_touched_is_as_it_should_be(self) -> None:
        for tenant, session_id in self.touched:
            self.world.run(self._check(tenant, session_id))
        self.touched.clear()

    async def _check(self, tenant: str, session_id: str) -> None:
        session = self.model.kept.get((tenant, session_id))
        for who in (self.anna, self.ben, self.olga, self.cleo):
            if who.tenant == tenant and self.model.find(who, session_id) is None:
                with pytest.raises(SessionNotFound):
                    await self.sessions.view(who, session_id, 10)
        if session is None:
            return
        owner = Principal(tenant, session.user)
        view = await self.sessions.view(owner, session_id, 200)
        shown = view.session
        assert [message.content for message in view.conversation_history] == list(session.path.texts)
        assert [message.seq for message in view.conversation_history] == list(range(1, shown.message_count + 1))
        assert _json(shown.state) == _json(session.path.state)
        assert view.context == session.path.context
        assert (shown.version, shown.branch) == (session.version, session.branch)
        assert shown.last_activity == session.last_activity
        assert (shown.lifecycle is Lifecycle.EXPIRED) == session.is_expired(self.clock.now())
        branches = {branch: session.on(branch) for branch in (session.branch, *session.left)}
        listed = (await self.branching.list_branches(owner, session_id)).branches
        counts = [(branch, len(path.texts)) for branch, path in branches.items() if path]
        assert [(each.branch, each.message_count) for each in listed] == sorted(counts, reverse=True)
        for branch, path in branches.items():
            assert path is not None
            assert await self._read(owner, session_id, branch) == list(path.texts)

    async def _read(self, owner: Principal, session_id: str, branch: int) -> list[str]:
        """In pages, from the front."""
        read, after = list[str](), 0
        while True:
            page = await self.sessions.history(owner, session_id, before=None, after=after, limit=4, branch=branch)
            assert [each.seq for each in page.messages] == list(range(after + 1, after + 1 + len(page.messages)))
            read += [str(message.content) for message in page.messages]
            if page.next_after is None:
                return read
            after = page.next_after

    async def _listed(self, who: Principal) -> list[str]:
        listed, cursor = list[str](), None
        while True:
            page = await self.sessions.page(who, user_id=None, listing=Listing(), limit=2, cursor=cursor)
            listed += [session.session_id for session in page.sessions]
            if (cursor := page.next_cursor) is None:
                return sorted(listed)

    async def _found(self, who: Principal) -> list[tuple[str, int, str]]:
        hits, cursor = list[tuple[str, int, str]](), None
        while True:
            page = await self.searching.search(
                who, "word", user_id=None, session_id=None, role=None, limit=50, cursor=cursor
            )
            hits += [(hit.session_id, hit.seq, "".join(part.text for part in hit.snippet)) for hit in page.hits]
            if (cursor := page.next_cursor) is None:
                return hits


def _json(value: JsonObject) -> str:
    """As Python takes 1, 1.0 and True for the same."""
    return json.dumps(value, sort_keys=True)
