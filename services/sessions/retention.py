"""How long sessions are kept, when somebody asks: resuming, cleaning up, erasing a person's. Knows no HTTP."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta

from bureau_contracts.sessions import (
    CleanUpSessions,
    Lifecycle,
    Session,
    SessionResumed,
    SessionsCleanedUp,
    SessionsErased,
    SessionStatus,
)
from kit.clock import Clock
from kit.identity import Owner, Principal, Reach
from kit.logs import get_logger
from services.sessions import leases, lifecycle
from services.sessions.errors import SessionNotFound
from services.sessions.lifecycle import Aging
from services.sessions.limits import Limits
from services.sessions.receipts import Once, name_of, only_once, repeated
from services.sessions.record import Current, Listing, Position, Write
from services.sessions.store import SessionStore

log = get_logger(__name__)

AT_A_TIME = 100
"""Sessions in memory at once."""
DONE = (SessionStatus.COMPLETED, SessionStatus.COMPLETED_WITH_ERRORS)


class Retention:
    def __init__(self, store: SessionStore, clock: Clock, aging: Aging, limits: Limits | None = None) -> None:
        self._store, self._clock, self._aging, self._limits = store, clock, aging, limits or Limits()

    async def resume(self, principal: Principal, session_id: str, once: Once | None = None) -> SessionResumed:
        """An expired session is active again. Raises SessionArchived or TooManySessions."""
        reach = principal.reach()
        if answer := await repeated(self._store, reach, session_id, once, SessionResumed):
            return answer
        session = (await self._store.get(reach, session_id)).session
        if session.lifecycle is Lifecycle.EXPIRED:
            await self._limits.check_room(self._store, Owner(session.tenant, session.user_id))

        def decide(current: Current) -> tuple[SessionResumed, Write | None]:
            resumed, write = lifecycle.resume(current.record, self._clock.now())
            return SessionResumed(expires_at=self._aging.expires_at(resumed)), write

        decide_once = only_once(once, SessionResumed, decide, self._clock.now)
        answer = await self._store.change(reach, session_id, decide_once, receipt=name_of(once))
        log.info("session_resumed", session_id=session_id)
        return answer

    async def clean_up(self, principal: Principal, wanted: CleanUpSessions) -> SessionsCleanedUp:
        """Raises Forbidden for another user's. May be repeated: what is done is not found again."""
        before = self._clock.now() - timedelta(days=wanted.older_than_days)
        count = 0
        async for session in done_before(self._store, principal.reach(wanted.user_id), before):
            reach = Reach(session.tenant, session.user_id)
            if wanted.dry_run or await retire(
                self._store, reach, session.session_id, before, self._clock.now(), purge=wanted.purge
            ):
                count += 1
        if not wanted.dry_run:
            log.info("sessions_cleaned_up", sessions=count, purged=wanted.purge)
        return SessionsCleanedUp(sessions=count, dry_run=wanted.dry_run)

    async def erase(self, principal: Principal, user_id: str) -> SessionsErased:
        """Everything of one person: sessions in whatever state, and the person's own keys. Raises Forbidden.

        May be repeated, and has to be when it was cut off, or when the person goes on meanwhile.
        """
        owner = principal.owner(user_id)
        reach, count = Reach(owner.tenant, owner.user), 0
        for each in Lifecycle:
            while page := await self._store.page(reach, Listing(each), after=None, limit=AT_A_TIME):
                for session in page:
                    with suppress(SessionNotFound):  # somebody else erased it
                        await self._store.purge(reach, session.session_id)
                        count += 1
        erased = SessionsErased(sessions=count, user_state=await self._store.forget_shared_state(owner))
        log.info("person_erased", sessions=count)
        return erased


async def done_before(store: SessionStore, reach: Reach, before: datetime) -> AsyncIterator[Session]:
    """Completed sessions, not archived, without activity since."""
    for kept in (Lifecycle.ACTIVE, Lifecycle.EXPIRED):
        for status in DONE:
            async for session in listed(store, reach, Listing(kept, status, until=before)):
                yield session


async def listed(store: SessionStore, reach: Reach, listing: Listing) -> AsyncIterator[Session]:
    """Page by page; what has left the list meanwhile is passed over."""
    after = None
    while page := await store.page(reach, listing, after=after, limit=AT_A_TIME):
        for session in page:
            yield session
        after = Position(page[-1].last_activity, page[-1].session_id)


async def retire(
    store: SessionStore, reach: Reach, session_id: str, before: datetime, now: datetime, *, purge: bool
) -> bool:
    """Archives a session that is still done and idle since `before`; False when it is not any more.

    Purging comes after archiving: an archived session cannot come to life in between.
    """

    def decide(current: Current) -> tuple[bool, Write | None]:
        session = current.record.session
        wanted = session.status in DONE and session.last_activity < before and not leases.is_held(current.record, now)
        if not wanted or session.lifecycle is Lifecycle.ARCHIVED:
            return False, None
        return True, lifecycle.archive(current.record, now)[1]

    with suppress(SessionNotFound):  # it was purged meanwhile
        if await store.change(reach, session_id, decide):
            if purge:
                await store.purge(reach, session_id)
            return True
    return False
