"""What can be done with sessions, and by whom. Knows no HTTP and no database.

Every change is a decision about one locked session (`store.Decide`), put together from the pure rules beside this
module: `edits`, `turns`, `leases`, `statuses`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel

from bureau_contracts.sessions import (
    AcquireLease,
    Context,
    Deleted,
    HistoryPage,
    Lease,
    MessageAdded,
    NewInvocation,
    NewMessage,
    NewSession,
    NewTurn,
    RenewLease,
    SessionCreated,
    SessionPage,
    SessionStatus,
    SessionView,
    StateAnswer,
    Tracked,
    TurnStored,
    Updated,
)
from bureau_contracts.shapes import JsonObject
from kit.clock import Clock
from kit.identity import Principal
from kit.logs import get_logger
from kit.telemetry import current_trace_id
from services.sessions import creating, leases, lifecycle, scopes
from services.sessions.edits import Edit, apply
from services.sessions.errors import TurnNotFound
from services.sessions.limits import Limits
from services.sessions.positions import cursor_of, position_of
from services.sessions.receipts import Once, name_of, only_once
from services.sessions.record import Current, Listing, SessionRecord, Write
from services.sessions.statuses import check_transition, require_writable
from services.sessions.store import Decide, SessionStore
from services.sessions.turns import digest_of, store_turn

log = get_logger(__name__)

INVOCATIONS_SHOWN = 50
BEYOND_EVERY_SEQ = 2**53

A = TypeVar("A", bound=BaseModel)


class SessionsService:
    """A user's principal acts on that user's sessions, a tenant-wide one on its tenant's.

    Whatever writes takes `once`: under the same key it is done once, and answered as the first time. It raises
    IdempotencyKeyReused for another write under that key.
    """

    def __init__(self, store: SessionStore, clock: Clock, limits: Limits | None = None) -> None:
        self._store, self._clock, self._limits = store, clock, limits or Limits()

    async def create(self, principal: Principal, new: NewSession, once: Once | None = None) -> SessionCreated:
        """Raises SessionExists, TooManySessions, or Forbidden for an `app:` key."""
        return await creating.create(self._store, self._clock, self._limits, principal, new, once)

    async def page(
        self,
        principal: Principal,
        *,
        user_id: str | None,
        listing: Listing,
        limit: int,
        cursor: str | None,
    ) -> SessionPage:
        """The latest activity first. A session that becomes active while one pages moves to the front."""
        after = position_of(cursor) if cursor else None
        found = await self._store.page(principal.reach(user_id), listing, after=after, limit=limit + 1)
        shown = found[:limit]
        more = len(found) > limit
        return SessionPage(sessions=shown, next_cursor=cursor_of(shown[-1]) if more else None)

    async def view(self, principal: Principal, session_id: str, history_limit: int) -> SessionView:
        record, messages, invocations = await self._store.view(
            principal.reach(), session_id, messages=history_limit, invocations=INVOCATIONS_SHOWN
        )
        return SessionView(
            session=scopes.visible(record),
            conversation_history=messages,
            agents_invoked=invocations,
            context=record.context,
        )

    async def history(
        self,
        principal: Principal,
        session_id: str,
        *,
        before: int | None,
        after: int | None,
        limit: int,
        branch: int | None = None,
    ) -> HistoryPage:
        """With `after` the messages that follow it, else the last ones (before `before`). Raises BranchNotFound."""
        count, messages = await self._store.history(
            principal.reach(),
            session_id,
            after=after or 0,
            before=BEYOND_EVERY_SEQ if before is None else before,
            limit=limit,
            newest=after is None,
            branch=branch,
        )
        if not messages:
            return HistoryPage(messages=[])
        first, last = messages[0].seq, messages[-1].seq
        return HistoryPage(
            messages=messages, next_before=first if first > 1 else None, next_after=last if last < count else None
        )

    async def add_message(
        self, principal: Principal, session_id: str, new: NewMessage, once: Once | None = None
    ) -> MessageAdded:
        """Allowed while somebody holds the lease: this is how an operator's note gets in. Raises TooManyMessages or
        MessageTooLarge."""
        await self._admit(principal, [new])

        def answer(write: Write) -> MessageAdded:
            return MessageAdded(seq=write.messages[0].seq)

        return await self._edit(
            principal, session_id, Edit(messages=[new], trace_id=_trace_id()), once, MessageAdded, answer
        )

    async def track(
        self, principal: Principal, session_id: str, new: NewInvocation, once: Once | None = None
    ) -> Tracked:
        edit = Edit(invocations=[new], trace_id=_trace_id())
        return await self._edit(principal, session_id, edit, once, Tracked, lambda write: Tracked())

    async def store_turn(
        self, principal: Principal, session_id: str, turn: NewTurn, once: Once | None = None
    ) -> TurnStored:
        """Raises TurnDiffers, StaleWriter, VersionConflict, SessionArchived, SessionExpired, TooManyMessages,
        MessageTooLarge, or Forbidden for an `app:` key.

        A repeated turn is answered as the first time.
        """
        scopes.require_allowed(principal, turn.state)
        await self._admit(principal, turn.messages)
        digest, trace_id = digest_of(turn), _trace_id()

        def decide(current: Current) -> tuple[TurnStored, Write | None]:
            return store_turn(current, turn, digest, trace_id, self._clock.now())

        stored = await self._change(principal, session_id, TurnStored, decide, once, turn_id=turn.turn_id)
        log.info("turn_stored", session_id=session_id, turn_id=turn.turn_id, last_seq=stored.last_seq)
        return stored

    async def stored_turn(self, principal: Principal, session_id: str, turn_id: str) -> TurnStored:
        """Raises TurnNotFound."""
        turn = await self._store.turn(principal.reach(), session_id, turn_id)
        if turn is None:
            raise TurnNotFound(turn_id)
        return turn.answer

    async def context(self, principal: Principal, session_id: str) -> Context:
        return (await self._store.get(principal.reach(), session_id)).context

    async def set_context(
        self, principal: Principal, session_id: str, context: Context, once: Once | None = None
    ) -> Updated:
        return await self._edit(principal, session_id, Edit(context=context), once, Updated, lambda write: Updated())

    async def state(self, principal: Principal, session_id: str) -> StateAnswer:
        return _state(await self._store.get(principal.reach(), session_id))

    async def set_state(
        self, principal: Principal, session_id: str, changes: JsonObject, once: Once | None = None
    ) -> StateAnswer:
        """Raises Forbidden for an `app:` key.

        What others write to shared keys at this moment may not be in the answer yet.
        """
        scopes.require_allowed(principal, changes)
        return await self._edit(
            principal, session_id, Edit(state=changes), once, StateAnswer, lambda write: _state(write.record)
        )

    async def set_status(
        self,
        principal: Principal,
        session_id: str,
        status: SessionStatus,
        reason: str | None,
        once: Once | None = None,
    ) -> Updated:
        """Raises IllegalTransition. Setting the status that it has changes nothing."""
        before: SessionStatus | None = None

        def decide(current: Current) -> tuple[Updated, Write | None]:
            nonlocal before
            session = current.record.session
            before = session.status
            require_writable(session)
            check_transition(session.status, status)
            if status is session.status:
                return Updated(), None
            return Updated(), apply(current.record, Edit(status=status), self._clock.now())

        answer = await self._change(principal, session_id, Updated, decide, once)
        if before not in (None, status):
            # A reason is somebody's words, so the log only says that there is one.
            log.info("status_changed", session_id=session_id, before=before, after=status, reasoned=bool(reason))
        return answer

    async def acquire_lease(
        self, principal: Principal, session_id: str, wanted: AcquireLease, once: Once | None = None
    ) -> Lease:
        """Raises LeaseHeld."""

        def rule(record: SessionRecord, now: datetime) -> SessionRecord:
            return leases.acquire(record, wanted.holder, wanted.ttl_seconds, now)

        return await self._change_lease(principal, session_id, rule, once)

    async def renew_lease(
        self, principal: Principal, session_id: str, renewal: RenewLease, once: Once | None = None
    ) -> Lease:
        """Raises LeaseLost."""

        def rule(record: SessionRecord, now: datetime) -> SessionRecord:
            return leases.renew(record, renewal.fencing_token, renewal.ttl_seconds, now)

        return await self._change_lease(principal, session_id, rule, once)

    async def release_lease(
        self, principal: Principal, session_id: str, fencing_token: int, once: Once | None = None
    ) -> Deleted:
        """Raises LeaseLost."""

        def decide(current: Current) -> tuple[Deleted, Write]:
            return Deleted(), Write(leases.release(current.record, fencing_token))

        return await self._change(principal, session_id, Deleted, decide, once)

    async def archive(self, principal: Principal, session_id: str, once: Once | None = None) -> Deleted:
        """Makes the session read-only, for good, and ends its lease. Archiving an archived one changes nothing."""

        def decide(current: Current) -> tuple[Deleted, Write | None]:
            return Deleted(), lifecycle.archive(current.record, self._clock.now())[1]

        answer = await self._change(principal, session_id, Deleted, decide, once)
        log.info("session_archived", session_id=session_id)
        return answer

    async def purge(self, principal: Principal, session_id: str) -> Deleted:
        """Erases the session and everything in it; nothing remembers that it was, so purging it again is
        SessionNotFound, whatever the key."""
        await self._store.purge(principal.reach(), session_id)
        log.info("session_purged", session_id=session_id)
        return Deleted()

    async def _admit(self, principal: Principal, messages: Sequence[NewMessage]) -> None:
        self._limits.check_sizes(messages)
        await self._limits.take_messages(principal, len(messages))

    async def _edit(
        self,
        principal: Principal,
        session_id: str,
        edit: Edit,
        once: Once | None,
        made: type[A],
        answer: Callable[[Write], A],
    ) -> A:
        def decide(current: Current) -> tuple[A, Write]:
            write = apply(current.record, edit, self._clock.now())
            return answer(write), write

        return await self._change(principal, session_id, made, decide, once)

    async def _change_lease(
        self,
        principal: Principal,
        session_id: str,
        rule: Callable[[SessionRecord, datetime], SessionRecord],
        once: Once | None,
    ) -> Lease:
        def decide(current: Current) -> tuple[Lease, Write]:
            record = rule(current.record, self._clock.now())
            assert record.lease is not None
            return record.lease, Write(record)

        return await self._change(principal, session_id, Lease, decide, once)

    async def _change(
        self,
        principal: Principal,
        session_id: str,
        answer: type[A],
        decide: Decide[A],
        once: Once | None,
        *,
        turn_id: str | None = None,
    ) -> A:
        decide_once = only_once(once, answer, decide, self._clock.now)
        return await self._store.change(
            principal.reach(), session_id, decide_once, turn_id=turn_id, receipt=name_of(once)
        )


def _state(record: SessionRecord) -> StateAnswer:
    session = scopes.visible(record)
    return StateAnswer(state=session.state, version=session.version)


def _trace_id() -> str | None:
    return current_trace_id() or None
