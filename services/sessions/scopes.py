"""Whose a key of the state is, by its prefix. Pure rules; no I/O.

`user:` keys belong to the session's user, in all of that user's sessions; `app:` keys to everybody of the tenant;
`temp:` keys live within one turn and are never stored; all others are the session's own.
"""

from bureau_contracts.sessions import Session
from bureau_contracts.shapes import JsonObject
from kit.identity import TENANT_WIDE, Principal
from services.sessions.record import SessionRecord, SharedState

USER, APP, TEMPORARY = "user:", "app:", "temp:"
WRITE_APP = "sessions:app"
"""Scope: may write keys that everybody of the tenant sees. A tenant-wide scope may, too."""


def merged(state: JsonObject, changes: JsonObject) -> JsonObject:
    """Keys are set, a null deletes one, temporary keys are dropped."""
    both = {**state, **changes}
    return {key: value for key, value in both.items() if value is not None and not key.startswith(TEMPORARY)}


def own(changes: JsonObject) -> JsonObject:
    """What of it is the session's."""
    return {key: value for key, value in changes.items() if not key.startswith((USER, APP, TEMPORARY))}


def shared(changes: JsonObject) -> SharedState | None:
    """What of it is not the session's; None when there is nothing."""
    users = {key: value for key, value in changes.items() if key.startswith(USER)}
    apps = {key: value for key, value in changes.items() if key.startswith(APP)}
    return SharedState(users, apps) if users or apps else None


def require_allowed(principal: Principal, changes: JsonObject | None) -> None:
    """Raises Forbidden when the caller may not write one of these keys."""
    if any(key.startswith(APP) for key in changes or ()) and not principal.may(TENANT_WIDE):
        principal.require(WRITE_APP)


def visible(record: SessionRecord) -> Session:
    """The session with all the state that is to be seen in it."""
    session = record.session
    return session.model_copy(update={"state": {**session.state, **record.shared}}) if record.shared else session
