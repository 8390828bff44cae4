"""What can be done with sessions, and by whom. Knows no HTTP and no database.

Every change is a decision about one locked session (`store.Decide`), put together from the pure rules beside this
module: `edits`, `turns`, `leases`, `statuses`.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from bureau_contracts.sessions import (
    AcquireLease,
    Context,
    HistoryPage,
    Lease,
    Lifecycle,
    Message,
    NewInvocation,
    NewMessage,
    NewSession,
    NewTurn,
    RenewLease,
    Session,
    SessionId,
    SessionPage,
    SessionStatus,
    SessionView,
    StateAnswer,
    TurnStored,
)
from bureau_contracts.shapes import JsonObject
from kit.clock import Clock
from kit.errors import Invalid
from kit.identity import Principal
from kit.ids import new_id
from kit.logs import get_logger
from kit.paging import decode_cursor, encode_cursor
from kit.telemetry import current_trace_id
from services.sessions import leases
from services.sessions.edits import Edit, apply, merged
from services.sessions.errors import TurnNotFound
from services.sessions.limits import Limits
from services.sessions.record import Current, Listing, Position, SessionRecord, Write
from services.sessions.statuses import check_transition, require_writable
from services.sessions.store import SessionStore
from services.sessions.turns import digest_of, store_turn

log = get_logger(__name__)

INVOCATIONS_SHOWN = 50
BEYOND_EVERY_SEQ = 2**53

_SESSION_ID = TypeAdapter[str](SessionId)


class SessionsService:
    """A user's principal acts on that user's sessions, a tenant-wide one on its tenant's."""

    def __init__(self, store: SessionStore, clock: Clock, limits: Limits | None = None) -> None:
        self._store, self._clock, self._limits = store, clock, limits or Limits()

    async def create(self, principal: Principal, new: NewSession) -> Session:
        """Raises SessionExists."""
        owner, now = principal.owner(new.user_id), self._clock.now()
        session = Session(
            session_id=new.session_id or new_id("sess"),
            tenant=owner.tenant,
            user_id=owner.user,
            title=new.title,
            status=SessionStatus.IDLE,
            autonomy_level=new.autonomy_level,
            metadata=new.metadata,
            state=merged({}, new.state),
            created_at=now,
            updated_at=now,
            last_activity=now,
            message_count=0,
            version=1,
        )
        await self._store.create(SessionRecord(session, Context()))
        log.info("session_created", session_id=session.session_id)
        return session

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
        after = _position(cursor) if cursor else None
        found = await self._store.page(principal.reach(user_id), listing, after=after, limit=limit + 1)
        shown = found[:limit]
        more = len(found) > limit
        return SessionPage(sessions=shown, next_cursor=_cursor(shown[-1]) if more else None)

    async def view(self, principal: Principal, session_id: str, history_limit: int) -> SessionView:
        record, messages, invocations = await self._store.view(
            principal.reach(), session_id, messages=history_limit, invocations=INVOCATIONS_SHOWN
        )
        return SessionView(
            session=record.session,
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

    async def add_message(self, principal: Principal, session_id: str, new: NewMessage) -> Message:
        """Allowed while somebody holds the lease: this is how an operator's note gets in. Raises TooManyMessages."""
        await self._limits.take_messages(principal, 1)
        write = await self._edit(principal, session_id, Edit(messages=[new], trace_id=_trace_id()))
        return write.messages[0]

    async def track(self, principal: Principal, session_id: str, new: NewInvocation) -> None:
        await self._edit(principal, session_id, Edit(invocations=[new], trace_id=_trace_id()))

    async def store_turn(self, principal: Principal, session_id: str, turn: NewTurn) -> TurnStored:
        """Raises TurnDiffers, StaleWriter, VersionConflict, SessionArchived or TooManyMessages.

        A repeated turn is answered as the first time.
        """
        await self._limits.take_messages(principal, len(turn.messages))
        digest, trace_id = digest_of(turn), _trace_id()

        def decide(current: Current) -> tuple[TurnStored, Write | None]:
            return store_turn(current, turn, digest, trace_id, self._clock.now())

        stored = await self._store.change(principal.reach(), session_id, decide, turn_id=turn.turn_id)
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

    async def set_context(self, principal: Principal, session_id: str, context: Context) -> None:
        await self._edit(principal, session_id, Edit(context=context))

    async def state(self, principal: Principal, session_id: str) -> StateAnswer:
        session = (await self._store.get(principal.reach(), session_id)).session
        return StateAnswer(state=session.state, version=session.version)

    async def set_state(self, principal: Principal, session_id: str, changes: JsonObject) -> StateAnswer:
        session = (await self._edit(principal, session_id, Edit(state=changes))).record.session
        return StateAnswer(state=session.state, version=session.version)

    async def set_status(
        self, principal: Principal, session_id: str, status: SessionStatus, reason: str | None
    ) -> None:
        """Raises IllegalTransition. Setting the status that it has changes nothing."""

        def decide(current: Current) -> tuple[SessionStatus, Write | None]:
            session = current.record.session
            require_writable(session)
            check_transition(session.status, status)
            if status is session.status:
                return session.status, None
            return session.status, apply(current.record, Edit(status=status), self._clock.now())

        before = await self._store.change(principal.reach(), session_id, decide)
        if status is not before:
            # A reason is somebody's words, so the log only says that there is one.
            log.info("status_changed", session_id=session_id, before=before, after=status, reasoned=bool(reason))

    async def acquire_lease(self, principal: Principal, session_id: str, wanted: AcquireLease) -> Lease:
        """Raises LeaseHeld."""
        return await self._change_lease(
            principal,
            session_id,
            lambda record, now: leases.acquire(record, wanted.holder, wanted.ttl_seconds, now),
        )

    async def renew_lease(self, principal: Principal, session_id: str, renewal: RenewLease) -> Lease:
        """Raises LeaseLost."""
        return await self._change_lease(
            principal,
            session_id,
            lambda record, now: leases.renew(record, renewal.fencing_token, renewal.ttl_seconds, now),
        )

    async def release_lease(self, principal: Principal, session_id: str, fencing_token: int) -> None:
        """Raises LeaseLost."""

        def decide(current: Current) -> tuple[None, Write]:
            return None, Write(leases.release(current.record, fencing_token))

        await self._store.change(principal.reach(), session_id, decide)

    async def archive(self, principal: Principal, session_id: str) -> None:
        """Makes the session read-only, for good, and ends its lease. Archiving an archived one changes nothing."""

        def decide(current: Current) -> tuple[None, Write | None]:
            if current.record.session.lifecycle is Lifecycle.ARCHIVED:
                return None, None
            after = apply(current.record, Edit(), self._clock.now()).record
            archived = after.session.model_copy(update={"lifecycle": Lifecycle.ARCHIVED})
            return None, Write(replace(after, session=archived, lease=None))

        await self._store.change(principal.reach(), session_id, decide)
        log.info("session_archived", session_id=session_id)

    async def purge(self, principal: Principal, session_id: str) -> None:
        """Erases the session and everything in it."""
        await self._store.purge(principal.reach(), session_id)
        log.info("session_purged", session_id=session_id)

    async def _edit(self, principal: Principal, session_id: str, edit: Edit) -> Write:
        def decide(current: Current) -> tuple[Write, Write]:
            write = apply(current.record, edit, self._clock.now())
            return write, write

        return await self._store.change(principal.reach(), session_id, decide)

    async def _change_lease(
        self, principal: Principal, session_id: str, rule: Callable[[SessionRecord, datetime], SessionRecord]
    ) -> Lease:
        def decide(current: Current) -> tuple[Lease, Write]:
            record = rule(current.record, self._clock.now())
            assert record.lease is not None
            return record.lease, Write(record)

        return await self._store.change(principal.reach(), session_id, decide)


def _trace_id() -> str | None:
    return current_trace_id() or None


def _cursor(session: Session) -> str:
    return encode_cursor(session.last_activity.isoformat(), session.session_id)


def _position(cursor: str) -> Position:
    last_activity, session_id = decode_cursor(cursor, str, str)
    try:
        at = datetime.fromisoformat(str(last_activity)).astimezone(UTC)
        return Position(at, _SESSION_ID.validate_python(session_id))
    except (ValueError, OverflowError, ValidationError):
        raise Invalid("cursor: not one that this list gave out", code="invalid_cursor") from None
