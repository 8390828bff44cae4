"""Routes of a session's branches: fork, rewind, and what there is."""

from typing import Annotated

from fastapi import Depends, Path, Request

from bureau_contracts.sessions import BranchList, ForkSession, RewindSession, SessionForked, SessionId, SessionRewound
from kit.web import PrincipalDep, router
from services.sessions.api_once import OnceDep
from services.sessions.branching import Branching

routes = router("/sessions", "sessions")

Id = Annotated[SessionId, Path()]


def _branching(request: Request) -> Branching:
    branching: Branching = request.app.state.branching
    return branching


BranchingDep = Annotated[Branching, Depends(_branching)]


@routes.post("/{session_id}/fork", status_code=201)
async def fork(
    principal: PrincipalDep, branching: BranchingDep, session_id: Id, body: ForkSession, once: OnceDep
) -> SessionForked:
    """A new session that shows this one's messages up to `at_seq`; none is copied.

    Its state and context are this one's at that point. 404 `branch_not_found`, 409 `session_exists`, 422
    `no_such_message`.
    """
    return await branching.fork(principal, session_id, body, once)


@routes.post("/{session_id}/rewind")
async def rewind(
    principal: PrincipalDep, branching: BranchingDep, session_id: Id, body: RewindSession, once: OnceDep
) -> SessionRewound:
    """Goes back to the message `to_seq`, with the state and context of then; the status becomes idle.

    Nothing is destroyed: what came after stands on a branch of its own, which can be read and forked. While somebody
    holds the lease its token is needed: 409 `stale_writer`. 422 `no_such_message`.
    """
    return await branching.rewind(principal, session_id, body, once)


@routes.get("/{session_id}/branches")
async def list_branches(principal: PrincipalDep, branching: BranchingDep, session_id: Id) -> BranchList:
    """The branch that is written to, and those that rewinds left; read them by `history?branch=`."""
    return await branching.list_branches(principal, session_id)
