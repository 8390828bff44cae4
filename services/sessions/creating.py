"""How a session is created: whose it is, under which id, with what in it. Knows no HTTP and no database."""

from datetime import datetime

from bureau_contracts.sessions import Context, NewSession, Session, SessionCreated, SessionStatus
from kit.clock import Clock
from kit.identity import Owner, Principal, Reach
from kit.ids import new_id
from kit.logs import get_logger
from services.sessions import scopes
from services.sessions.errors import SessionExists, SessionNotFound
from services.sessions.limits import Limits
from services.sessions.receipts import Once, receipt, repeated, session_id_for
from services.sessions.record import SessionRecord
from services.sessions.store import SessionStore

log = get_logger(__name__)


async def create(
    store: SessionStore, clock: Clock, limits: Limits, principal: Principal, new: NewSession, once: Once | None
) -> SessionCreated:
    """Raises SessionExists, TooManySessions, or Forbidden for an `app:` key."""
    scopes.require_allowed(principal, new.state)
    owner = principal.owner(new.user_id)
    session_id = new.session_id or (session_id_for(owner, once.key) if once else new_id("sess"))
    if answer := await _created(store, owner, session_id, once):
        return answer
    await limits.check_room(store, owner)
    record, answer = fresh(owner, session_id, new, clock.now()), SessionCreated(session_id=session_id)
    kept = receipt(once, answer, clock.now()) if once else None
    try:
        await store.create(record, shared=scopes.shared(scopes.merged({}, new.state)), receipt=kept)
    except SessionExists:
        if first := await _created(store, owner, session_id, once):
            return first  # the same request, sent twice at once
        raise
    log.info("session_created", session_id=session_id)
    return answer


async def _created(store: SessionStore, owner: Owner, session_id: str, once: Once | None) -> SessionCreated | None:
    """What was answered when it was created under this key."""
    try:
        return await repeated(store, Reach(owner.tenant, owner.user), session_id, once, SessionCreated)
    except SessionNotFound:
        return None


def fresh(owner: Owner, session_id: str, new: NewSession, now: datetime) -> SessionRecord:
    """A session with nothing said in it."""
    session = Session(
        session_id=session_id,
        tenant=owner.tenant,
        user_id=owner.user,
        title=new.title,
        status=SessionStatus.IDLE,
        autonomy_level=new.autonomy_level,
        metadata=new.metadata,
        state=scopes.own(scopes.merged({}, new.state)),
        created_at=now,
        updated_at=now,
        last_activity=now,
        message_count=0,
        version=1,
    )
    return SessionRecord(session, Context())
