"""The sessions' routes: HTTP in, service call, contract out."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from pydantic import AwareDatetime

from bureau_contracts.runtime import TurnId
from bureau_contracts.sessions import (
    AcquireLease,
    Context,
    Deleted,
    HistoryPage,
    Lease,
    Lifecycle,
    Message,
    MessageAdded,
    NewInvocation,
    NewMessage,
    NewSession,
    NewTurn,
    RenewLease,
    Session,
    SessionCreated,
    SessionId,
    SessionPage,
    SessionStatus,
    SessionView,
    StateAnswer,
    StatePatch,
    StatusChange,
    Tracked,
    TurnStored,
    Updated,
)
from bureau_contracts.shapes import AgentName, Limit, SubjectId
from kit.web import PrincipalDep, router
from services.sessions.api_once import OnceDep
from services.sessions.projections import Fields, projected
from services.sessions.record import Listing
from services.sessions.service import BEYOND_EVERY_SEQ, SessionsService

routes = router("/sessions", "sessions")

HistoryLimit = Annotated[int, Query(ge=0, le=1000)]
Seq = Annotated[int, Query(ge=0, le=BEYOND_EVERY_SEQ)]
FencingToken = Annotated[int, Query(ge=0, le=BEYOND_EVERY_SEQ)]
Cursor = Annotated[str, Query(max_length=500)]
Id = Annotated[SessionId, Path()]


def _service(request: Request) -> SessionsService:
    service: SessionsService = request.app.state.sessions
    return service


SessionsDep = Annotated[SessionsService, Depends(_service)]


@routes.post("", status_code=201)
async def create_session(
    principal: PrincipalDep, sessions: SessionsDep, body: NewSession, once: OnceDep
) -> SessionCreated:
    """Opens a session. 409 `session_exists` when an id was chosen that is taken, 429 `too_many_sessions`.

    Under an Idempotency-Key, a session without a chosen id gets one that is made of the user and the key. `app:` keys
    of the state need the scope `sessions:app`.
    """
    return await sessions.create(principal, body, once)


@routes.get("", response_model=SessionPage)
async def list_sessions(
    principal: PrincipalDep,
    sessions: SessionsDep,
    user_id: SubjectId | None = None,
    status: SessionStatus | None = None,
    lifecycle: Lifecycle = Lifecycle.ACTIVE,
    agent: AgentName | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    fields: Fields = None,
    limit: Limit = 50,
    cursor: Cursor | None = None,
) -> Response:
    """One's sessions, the latest activity first; a tenant-wide scope sees every user's, or the named one's.

    `agent` took part in them; `since` (inclusive) and `until` are of the last activity; `fields` names what is sent.
    """
    listing = Listing(lifecycle, status, agent, since, until)
    page = await sessions.page(principal, user_id=user_id, listing=listing, limit=limit, cursor=cursor)
    return projected(page, "sessions", Session, fields)


@routes.get("/{session_id}")
async def get_session(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, history_limit: HistoryLimit = 50
) -> SessionView:
    """A session with its last messages, its last invocations and its context, all as of one moment."""
    return await sessions.view(principal, session_id, history_limit)


@routes.delete("/{session_id}")
async def delete_session(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, once: OnceDep, purge: bool = False
) -> Deleted:
    """Archives a session: it stays, read-only. With `purge` it is erased, whether archived or not.

    Nothing remembers what is erased, keys neither: purging it again is 404.
    """
    if purge:
        return await sessions.purge(principal, session_id)
    return await sessions.archive(principal, session_id, once)


@routes.get("/{session_id}/history", response_model=HistoryPage)
async def get_history(
    principal: PrincipalDep,
    sessions: SessionsDep,
    session_id: Id,
    before: Seq | None = None,
    after: Seq | None = None,
    limit: Limit = 50,
    branch: Seq | None = None,
    fields: Fields = None,
) -> Response:
    """Messages in order: the last ones, those before a `seq`, or those after one. `after=0` begins at the first.

    `branch` is one that a rewind left; without it the one that is written to.
    """
    page = await sessions.history(principal, session_id, before=before, after=after, limit=limit, branch=branch)
    return projected(page, "messages", Message, fields)


@routes.post("/{session_id}/history", status_code=201)
async def add_message(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, body: NewMessage, once: OnceDep
) -> MessageAdded:
    """Appends one message. A lease does not stop it: an operator may add a note while an agent works."""
    return await sessions.add_message(principal, session_id, body, once)


@routes.post("/{session_id}/invocations", status_code=201)
async def track_invocation(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, body: NewInvocation, once: OnceDep
) -> Tracked:
    """Records that an agent was asked."""
    return await sessions.track(principal, session_id, body, once)


@routes.post("/{session_id}/turns", status_code=201)
async def store_turn(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, body: NewTurn, once: OnceDep
) -> TurnStored:
    """Stores everything that one turn did, whole or not at all; the same turn again gets the first answer.

    409: `turn_differs` (this turn_id has another content), `stale_writer` (not, or no longer, the one who writes),
    `version_conflict` (the session is not at `expected_version`), `session_archived`, `session_expired`.
    A turn may end in any status.
    """
    return await sessions.store_turn(principal, session_id, body, once)


@routes.get("/{session_id}/turns/{turn_id}")
async def get_turn(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, turn_id: Annotated[TurnId, Path()]
) -> TurnStored:
    """What was answered when the turn was stored."""
    return await sessions.stored_turn(principal, session_id, turn_id)


@routes.get("/{session_id}/context")
async def get_context(principal: PrincipalDep, sessions: SessionsDep, session_id: Id) -> Context:
    """What the last turn was about."""
    return await sessions.context(principal, session_id)


@routes.put("/{session_id}/context")
async def set_context(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, body: Context, once: OnceDep
) -> Updated:
    """Replaces the whole context."""
    return await sessions.set_context(principal, session_id, body, once)


@routes.get("/{session_id}/state")
async def get_state(principal: PrincipalDep, sessions: SessionsDep, session_id: Id) -> StateAnswer:
    return await sessions.state(principal, session_id)


@routes.patch("/{session_id}/state")
async def set_state(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, body: StatePatch, once: OnceDep
) -> StateAnswer:
    """Sets keys; a null deletes one; keys that start with `temp:` are not stored.

    `user:` keys are seen in all sessions of the session's user; `app:` keys in all of the tenant, and writing them
    needs the scope `sessions:app`: 403 `scope_missing`. A rewind does not undo either.
    """
    return await sessions.set_state(principal, session_id, body.state, once)


@routes.patch("/{session_id}/status")
async def set_status(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, body: StatusChange, once: OnceDep
) -> Updated:
    """409 `illegal_transition` when this status cannot follow the present one; the same status changes nothing."""
    return await sessions.set_status(principal, session_id, body.status, body.reason, once)


@routes.post("/{session_id}/lease", status_code=201)
async def acquire_lease(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, body: AcquireLease, once: OnceDep
) -> Lease:
    """Makes `holder` the only writer of turns. 409 `lease_held`, with Retry-After, while somebody else is.

    The same holder gets a new lease and its old token is void, so a holder's name must be one writer's alone.
    """
    return await sessions.acquire_lease(principal, session_id, body, once)


@routes.put("/{session_id}/lease/renew")
async def renew_lease(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, body: RenewLease, once: OnceDep
) -> Lease:
    """409 `lease_lost` when it expired, was released or taken over."""
    return await sessions.renew_lease(principal, session_id, body, once)


@routes.delete("/{session_id}/lease")
async def release_lease(
    principal: PrincipalDep, sessions: SessionsDep, session_id: Id, once: OnceDep, fencing_token: FencingToken
) -> Deleted:
    """409 `lease_lost` when it is somebody else's by now, or nobody's."""
    return await sessions.release_lease(principal, session_id, fencing_token, once)
