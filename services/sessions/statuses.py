"""Which status may follow which. One table; everything else is refused."""

from bureau_contracts.sessions import Lifecycle, Session, SessionStatus
from services.sessions.errors import IllegalTransition, SessionArchived, SessionExpired

S = SessionStatus

_WORK = frozenset({S.PLANNING, S.EXECUTING, S.EXECUTING_QUEUED})
_OUTCOMES = frozenset({S.COMPLETED, S.COMPLETED_WITH_ERRORS, S.ERROR})

LEGAL: dict[SessionStatus, frozenset[SessionStatus]] = {
    # Somebody who keeps only the history here reports the outcome alone, so it may follow at once.
    S.IDLE: _WORK | _OUTCOMES,
    S.PLANNING: _WORK | _OUTCOMES | {S.IDLE, S.WAITING_APPROVAL, S.INTERRUPTED},
    S.EXECUTING: _WORK | _OUTCOMES | {S.IDLE, S.WAITING_APPROVAL, S.INTERRUPTED},
    # What was handed to a job ends with an outcome, a question or an interrupt; it is not planned anew meanwhile.
    S.EXECUTING_QUEUED: _OUTCOMES | {S.EXECUTING, S.WAITING_APPROVAL, S.INTERRUPTED},
    # What waits for approval has not run, so it has no outcome; a rejected plan leaves the session idle.
    S.WAITING_APPROVAL: _WORK | {S.IDLE, S.ERROR, S.INTERRUPTED},
    # After an outcome the next message begins the work anew.
    S.COMPLETED: _WORK | {S.IDLE},
    S.COMPLETED_WITH_ERRORS: _WORK | {S.IDLE},
    S.ERROR: _WORK | {S.IDLE},
    S.INTERRUPTED: _WORK | {S.IDLE},
}
"""To stay is always legal, and not said here. A turn is stored when it is over: it went through `executing`, which can
be reached from everywhere and leads everywhere, so a turn may set any status."""


def check_transition(current: SessionStatus, wanted: SessionStatus) -> None:
    """Raises IllegalTransition. Staying is always legal."""
    if wanted is not current and wanted not in LEGAL[current]:
        raise IllegalTransition(current, wanted)


def require_writable(session: Session) -> None:
    """Raises SessionArchived or SessionExpired."""
    require_not_archived(session)
    if session.lifecycle is Lifecycle.EXPIRED:
        raise SessionExpired(session.session_id)


def require_not_archived(session: Session) -> None:
    """Raises SessionArchived."""
    if session.lifecycle is Lifecycle.ARCHIVED:
        raise SessionArchived(session.session_id)
