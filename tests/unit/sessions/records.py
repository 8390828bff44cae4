"""A session to begin a test with."""

from datetime import UTC, datetime

from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.sessions import Context, Session, SessionStatus
from services.sessions.record import SessionRecord

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_record(**fields: object) -> SessionRecord:
    session = Session(
        session_id="sess-1", tenant="acme", user_id="anna", title="", status=SessionStatus.IDLE,
        autonomy_level=AutonomyLevel.L2, metadata={}, state={}, created_at=NOW, updated_at=NOW, last_activity=NOW,
        message_count=0, version=1,
    )  # fmt: skip
    return SessionRecord(session.model_copy(update=fields), Context())
