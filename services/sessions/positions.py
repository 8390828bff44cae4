"""Cursors of the list of sessions: a position that a caller gives back."""

from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from bureau_contracts.sessions import Session, SessionId
from kit.errors import Invalid
from kit.paging import decode_cursor, encode_cursor
from services.sessions.record import Position

_SESSION_ID = TypeAdapter[str](SessionId)


def cursor_of(session: Session) -> str:
    return encode_cursor(session.last_activity.isoformat(), session.session_id)


def position_of(cursor: str) -> Position:
    """Raises Invalid."""
    last_activity, session_id = decode_cursor(cursor, str, str)
    try:
        at = datetime.fromisoformat(str(last_activity)).astimezone(UTC)
        return Position(at, _SESSION_ID.validate_python(session_id))
    except (ValueError, OverflowError, ValidationError):
        raise Invalid("cursor: not one that this list gave out", code="invalid_cursor") from None
