"""What can be done with the branches of sessions, and by whom: fork, rewind, and what there is. Knows no HTTP."""

from bureau_contracts.sessions import (
    BranchList,
    Context,
    ForkSession,
    RewindSession,
    Session,
    SessionForked,
    SessionRewound,
    SessionStatus,
)
from kit.clock import Clock
from kit.identity import Principal
from kit.ids import new_id
from kit.logs import get_logger
from services.sessions import branches
from services.sessions.record import Current, SessionRecord, Write
from services.sessions.store import SessionStore

log = get_logger(__name__)

THE_END = 2**53


class Branching:
    def __init__(self, store: SessionStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def fork(self, principal: Principal, session_id: str, wanted: ForkSession) -> SessionForked:
        """Raises SessionExists, BranchNotFound or NoSuchMessage. The fork belongs to whom the session belongs."""
        forked_id = wanted.session_id or new_id("sess")

        def decide(current: Current) -> tuple[SessionRecord, Write]:
            fresh = self._fresh(current.record.session, forked_id)
            return branches.fork(current, fresh, wanted.at_seq, wanted.title)

        undos_from = THE_END if wanted.at_seq is None else wanted.at_seq
        forked = await self._store.change(
            principal.reach(), session_id, decide, branch=wanted.branch, undos_from=undos_from
        )
        at_seq = forked.session.message_count
        log.info("session_forked", session_id=session_id, forked=forked_id, at_seq=at_seq)
        return SessionForked(session_id=forked_id, forked_from=session_id, at_seq=at_seq)

    async def rewind(self, principal: Principal, session_id: str, wanted: RewindSession) -> SessionRewound:
        """Raises SessionArchived, StaleWriter or NoSuchMessage."""

        def decide(current: Current) -> tuple[Session, Write | None]:
            return branches.rewind(current, wanted.to_seq, wanted.fencing_token, self._clock.now())

        session = await self._store.change(principal.reach(), session_id, decide, undos_from=wanted.to_seq)
        log.info("session_rewound", session_id=session_id, to_seq=wanted.to_seq, branch=session.branch)
        return SessionRewound(message_count=session.message_count, branch=session.branch, version=session.version)

    async def list_branches(self, principal: Principal, session_id: str) -> BranchList:
        return BranchList(branches=branches.branches(*await self._store.branches(principal.reach(), session_id)))

    def _fresh(self, source: Session, session_id: str) -> SessionRecord:
        now = self._clock.now()
        session = Session(
            session_id=session_id,
            tenant=source.tenant,
            user_id=source.user_id,
            title=source.title,
            status=SessionStatus.IDLE,
            autonomy_level=source.autonomy_level,
            metadata={},
            state={},
            created_at=now,
            updated_at=now,
            last_activity=now,
            message_count=0,
            version=1,
        )
        return SessionRecord(session, Context())
