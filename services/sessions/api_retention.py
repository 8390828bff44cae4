"""Routes about how long sessions are kept: resuming an expired one, cleaning up, erasing a person's."""

from typing import Annotated

from fastapi import Depends, Path, Request

from bureau_contracts.sessions import CleanUpSessions, SessionId, SessionResumed, SessionsCleanedUp, SessionsErased
from bureau_contracts.shapes import SubjectId
from kit.web import PrincipalDep, router
from services.sessions.api_once import OnceDep
from services.sessions.retention import Retention

routes = router("/sessions", "sessions")


def _retention(request: Request) -> Retention:
    retention: Retention = request.app.state.retention
    return retention


RetentionDep = Annotated[Retention, Depends(_retention)]


@routes.post("/cleanup")
async def clean_up(principal: PrincipalDep, retention: RetentionDep, body: CleanUpSessions) -> SessionsCleanedUp:
    """Archives completed sessions (with errors or without) that lie idle for so many days; with `purge` erases them.

    One's own; with a tenant-wide scope the named user's, or everybody's. `dry_run` counts them and changes nothing.
    Doing it again finds nothing more, so it needs no Idempotency-Key and takes none.
    """
    return await retention.clean_up(principal, body)


@routes.delete("")
async def erase_sessions(principal: PrincipalDep, retention: RetentionDep, user_id: SubjectId) -> SessionsErased:
    """Erases everything of one person: all sessions, archived ones too, and the state under `user:`.

    Oneself, or with a tenant-wide scope anybody of the tenant. It can be repeated, and has to be when it was cut off.
    """
    return await retention.erase(principal, user_id)


@routes.post("/{session_id}/resume")
async def resume_session(
    principal: PrincipalDep, retention: RetentionDep, session_id: Annotated[SessionId, Path()], once: OnceDep
) -> SessionResumed:
    """Makes an expired session active again, from now on; an active one stays as it is.

    409 `session_archived`: that is for good. 429 `too_many_sessions`.
    """
    return await retention.resume(principal, session_id, once)
