"""Routes of summaries: making one, reading it, what a model is shown; and of the sweep."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from bureau_contracts.sessions import Compacted, CompactSession, SessionId, Summary, Swept, Window
from kit.web import PrincipalDep, router
from services.sessions.compaction import Compaction
from services.sessions.sweep import Sweep

routes = router("/sessions", "sessions")

Id = Annotated[SessionId, Path()]
MaxTokens = Annotated[int, Query(ge=1, le=200_000)]
MaxMessages = Annotated[int, Query(ge=0, le=1000)]


def _compaction(request: Request) -> Compaction:
    compaction: Compaction = request.app.state.compaction
    return compaction


def _sweep(request: Request) -> Sweep:
    sweep: Sweep = request.app.state.sweep
    return sweep


CompactionDep = Annotated[Compaction, Depends(_compaction)]
SweepDep = Annotated[Sweep, Depends(_sweep)]


@routes.post("/sweep")
async def sweep_sessions(principal: PrincipalDep, sweep: SweepDep) -> Swept:
    """Does now, for the caller's tenant, what the service does by itself now and then. Needs a tenant-wide scope.

    Sessions that have much behind their summary are compacted. Doing it again does nothing more.
    """
    return Swept(counts=await sweep.run_for(principal))


@routes.post("/{session_id}/compact")
async def compact_session(
    principal: PrincipalDep, compaction: CompactionDep, session_id: Id, body: CompactSession
) -> Compacted:
    """Makes a summary stand for older messages when all would be more than `max_tokens`; else changes nothing.

    No message is lost: what is covered stays readable and searchable. A tool's call and its result stay on the same
    side. Two at once make one summary. 409 `session_archived`.
    """
    return await compaction.compact(principal, session_id, body)


@routes.get("/{session_id}/summary")
async def get_summary(principal: PrincipalDep, compaction: CompactionDep, session_id: Id) -> Summary:
    """The last summary that applies to what the session shows. 404 `summary_not_found`."""
    return await compaction.summary(principal, session_id)


@routes.get("/{session_id}/window")
async def get_window(
    principal: PrincipalDep,
    compaction: CompactionDep,
    session_id: Id,
    max_tokens: MaxTokens = 1500,
    max_messages: MaxMessages = 200,
) -> Window:
    """What a model is shown: the summary, if there is one, and the newest whole messages that fit beside it.

    It never begins with a tool's result whose call is cut off.
    """
    return await compaction.window(principal, session_id, max_tokens=max_tokens, max_messages=max_messages)
