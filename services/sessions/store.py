"""The port of the sessions' store. The rules are elsewhere: a store finds, locks, and remembers."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypeVar

from bureau_contracts.sessions import Invocation, Message, Session
from kit.identity import Owner, Reach
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

T = TypeVar("T")

Decide = Callable[[Current], tuple[T, Write | None]]
"""Looks at a session and says what to answer and what to write (None: nothing). Pure and quick: it runs while the
session is locked, perhaps in another thread, perhaps more than once. What it raises changes nothing."""


class SessionStore(Protocol):
    """Promises, shown by one suite over every adapter:

    - What a method returned from is durable; what it raised from changed nothing, except that after Unavailable it is
      not known (the answer may have been lost on its way back).
    - Changes of one session happen one after the other, each whole or not at all; readers see none half done.
    - A session that is not within `reach` is SessionNotFound, exactly as one that does not exist.
    - Unavailable is raised when the store is away or full; it works again by itself afterwards.
    """

    async def open(self) -> None:
        """Called once, first. Returns also when a remote store is away."""

    async def close(self) -> None:
        """Lets what is under way finish."""

    async def ping(self) -> str:
        """What it is, in a few words, for `/health`. Raises Unavailable."""

    async def create(
        self, record: SessionRecord, *, shared: SharedState | None = None, receipt: Receipt | None = None
    ) -> None:
        """With what else is written when the session is. Raises SessionExists when the session's tenant has one of that
        id. Other tenants' ids do not matter."""

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
        """Locks the session, asks `decide`, writes what it says, and returns its answer.

        With `turn_id`, `decide` is also shown that turn when it is stored already; with `receipt` the receipt of that
        name; with `branch` that branch, which is BranchNotFound when there is none; with `undos_from` the undos at that
        message (at the last, if that comes earlier) and beyond, of what the branch shows; with `summary` the last one
        that applies.

        What the session shows of others' state (`SessionRecord.shared`) may be of earlier while a decision does nothing
        but append messages.
        """

    async def purge(self, reach: Reach, session_id: str) -> None:
        """Erases the session and everything in it, but the messages that another session shows: those go with it."""

    async def get(self, reach: Reach, session_id: str) -> SessionRecord: ...

    async def receipt(self, reach: Reach, session_id: str, name: str) -> Receipt | None: ...

    async def turn(self, reach: Reach, session_id: str, turn_id: str) -> StoredTurn | None: ...

    async def view(
        self, reach: Reach, session_id: str, *, messages: int, invocations: int
    ) -> tuple[SessionRecord, list[Message], list[Invocation]]:
        """The session with its last messages and invocations, oldest first, all as of one moment."""

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
        """The session's message count, and messages with after < seq < before, oldest first; of `branch` if given.

        When there are more than `limit`, these are the first of them, or with `newest` the last. As quick for a long
        session as for a short one. Raises BranchNotFound.
        """

    async def window(
        self, reach: Reach, session_id: str, *, limit: int
    ) -> tuple[SessionRecord, StoredSummary | None, list[Message]]:
        """The session, the last summary that applies to what it shows, and the last messages behind what that covers,
        oldest first, at most `limit`; all as of one moment."""

    async def grown(
        self, tenant: str | None, *, active_since: datetime, characters: int, after: Grown | None, limit: int
    ) -> list[Grown]:
        """Active sessions, of all tenants when `tenant` is None, with so many characters on the branch that they write
        to, behind what the last summary there covers; by tenant and id, from behind `after`."""

    async def branches(self, reach: Reach, session_id: str) -> tuple[SessionRecord, list[LeftBranch]]:
        """The session, and what it showed until it was rewound, in that order."""

    async def page(self, reach: Reach, listing: Listing, *, after: Position | None, limit: int) -> list[Session]:
        """Sessions by last activity, newest first, from behind `after`. As quick for many sessions as for few, whatever
        one filter is set; of several, the agent and the times go by index, the status is looked at one by one."""

    async def count(self, reach: Reach, listing: Listing, *, limit: int) -> int:
        """How many sessions that list has; no more than `limit` are counted."""

    async def tenants(self, *, after: str, limit: int) -> list[str]:
        """Tenants that have sessions, in order, from behind `after`."""

    async def drop_receipts(self, *, before: datetime, limit: int) -> int:
        """Removes receipts that were stored earlier, of all tenants, at most `limit`; how many. Turns stay."""

    async def forget_shared_state(self, owner: Owner) -> bool:
        """Erases the state that belongs to this user. False when there was none."""
