"""What ADK's names are called in Bureau. ADK's are any text; Bureau's fit its patterns and are unique per tenant."""

import base64
import hashlib
import json
import re

from pydantic import TypeAdapter, ValidationError

from bureau.adapters.adk.storable import storable_text
from bureau_contracts.sessions import Session
from bureau_contracts.shapes import JsonObject, SubjectId

KEY = "adk"
"""Under which our metadata stands, of sessions and of messages."""
DIGEST_LENGTH = 26
"""Of base 32: 130 bits."""
SLUG_LENGTH = 30
TITLE_LENGTH = 300

_SUBJECT = TypeAdapter[str](SubjectId)


def bureau_id(app_name: str, user_id: str, session_id: str) -> str:
    """The one Bureau session of ADK's three names: as much of the chosen id as fits, then a digest of all three."""
    slug = re.sub(r"[^0-9a-z]+", "-", session_id.lower())[:SLUG_LENGTH].strip("-")
    digest = _digest(app_name, user_id, session_id)
    return f"sess-adk-{slug}-{digest}" if slug else f"sess-adk-{digest}"


def turn_id(event_id: str) -> str:
    """The same for the same event, so that an event sent twice is stored once."""
    return f"turn-adk-{_digest(event_id)}"


def metadata_of(app_name: str, session_id: str) -> JsonObject:
    return {KEY: {"app_name": app_name, "session_id": session_id}}


def title_of(session_id: str) -> str:
    return storable_text(session_id)[:TITLE_LENGTH]


def adk_names(session: Session) -> tuple[str, str] | None:
    """ADK's app name and session id of a session that this adapter created; None of any other, a fork of one too."""
    match session.metadata.get(KEY):
        case {"app_name": str(app_name), "session_id": str(session_id)}:
            if bureau_id(app_name, session.user_id, session_id) == session.session_id:
                return app_name, session_id
    return None


def require_user(user_id: str) -> None:
    """Raises ValueError for an id that no user of Bureau can have."""
    try:
        _SUBJECT.validate_python(user_id)
    except ValidationError:
        raise ValueError(
            f"user_id {user_id!r} cannot be a user of Bureau: letters, digits and . _ @ + - are allowed, a letter or "
            "digit first, at most 128"
        ) from None


def _digest(*names: str) -> str:
    whole = hashlib.sha256(json.dumps(names).encode()).digest()
    return base64.b32encode(whole).decode().lower()[:DIGEST_LENGTH]
