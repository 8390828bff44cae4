"""What can be done with the branches of sessions, and by whom: fork, rewind, and what there is. Knows no HTTP."""

from bureau_contracts.sessions import (
    BranchList,
    ForkSession,
    NewSession,
    RewindSession,
    SessionForked,
    SessionRewound,
)
from kit.clock import Clock
from kit.identity import Owner, Principal
from kit.ids import new_id
from kit.logs import get_logger
from services.sessions import branches
from services.sessions.creating import fresh
from services.sessions.limits import Limits
from services.sessions.receipts import Once, name_of, only_once, repeated
from services.sessions.record import Current, Write
from services.sessions.store import SessionStore

log = get_logger(__name__)

THE_END = 2**53


class Branching:
    def __init__(self, store: SessionStore, clock: Clock, limits: Limits | None = None) -> None:
        self._store, self._clock, self._limits = store, clock, limits or Limits()

    async def fork(
        self, principal: Principal, session_id: str, wanted: ForkSession, once: Once | None = None
    ) -> SessionForked:
        """Raises SessionExists, BranchNotFound, NoSuchMessage or TooManySessions.

        The fork belongs to whom the session belongs; the receipt of a key stands in the session that was forked.
        """
        reach, forked_id = principal.reach(), wanted.session_id or new_id("sess")
        if answer := await repeated(self._store, reach, session_id, once, SessionForked):
            return answer
        if self._limits.sessions_per_user:
            source = (await self._store.get(reach, session_id)).session
            await self._limits.check_room(self._store, Owner(source.tenant, source.user_id))

        def decide(current: Current) -> tuple[SessionForked, Write]:
            source = current.record.session
            blank = NewSession(title=source.title, autonomy_level=source.autonomy_level)
            new = fresh(Owner(source.tenant, source.user_id), forked_id, blank, self._clock.now())
            created, write = branches.fork(current, new, wanted.at_seq, wanted.title)
            at_seq = created.session.message_count
            return SessionForked(session_id=forked_id, forked_from=session_id, at_seq=at_seq), write

        forked = await self._store.change(
            reach,
            session_id,
            only_once(once, SessionForked, decide, self._clock.now),
            receipt=name_of(once),
            branch=wanted.branch,
            undos_from=THE_END if wanted.at_seq is None else wanted.at_seq,
        )
        log.info("session_forked", session_id=session_id, forked=forked.session_id, at_seq=forked.at_seq)
        return forked

    async def rewind(
        self, principal: Principal, session_id: str, wanted: RewindSession, once: Once | None = None
    ) -> SessionRewound:
        """Raises SessionArchived, SessionExpired, StaleWriter or NoSuchMessage. State that is not the session's own
        (`user:`, `app:`) stays as it is."""

        def decide(current: Current) -> tuple[SessionRewound, Write | None]:
            session, write = branches.rewind(current, wanted.to_seq, wanted.fencing_token, self._clock.now())
            answer = SessionRewound(message_count=session.message_count, branch=session.branch, version=session.version)
            return answer, write

        rewound = await self._store.change(
            principal.reach(),
            session_id,
            only_once(once, SessionRewound, decide, self._clock.now),
            receipt=name_of(once),
            undos_from=wanted.to_seq,
        )
        log.info("session_rewound", session_id=session_id, to_seq=wanted.to_seq, branch=rewound.branch)
        return rewound

    async def list_branches(self, principal: Principal, session_id: str) -> BranchList:
        return BranchList(branches=branches.branches(*await self._store.branches(principal.reach(), session_id)))
