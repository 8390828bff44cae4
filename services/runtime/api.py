"""The runtime over HTTP."""

from typing import Annotated

from fastapi import Depends, Request

from bureau_contracts.runtime import (
    AgentSessionView,
    ChatAnswer,
    ChatRequest,
    RouteAnswer,
    RouteRequest,
    ToolList,
)
from bureau_contracts.sessions import Deleted, SessionId
from bureau_contracts.shapes import AgentName
from kit.web import PrincipalDep, router
from services.runtime.service import Runtime

routes = router("/agent", "agent")


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


RuntimeDep = Annotated[Runtime, Depends(_runtime)]


@routes.post("/chat")
async def chat(principal: PrincipalDep, runtime: RuntimeDep, request: ChatRequest) -> ChatAnswer:
    """One turn: the message is routed, answered and recorded. A failure of the agent is an answer too (`status`)."""
    return await runtime.chat(principal, request)


@routes.post("/route")
async def route(runtime: RuntimeDep, request: RouteRequest) -> RouteAnswer:
    """Which agent would answer, and why. Nothing runs."""
    return await runtime.route(request)


@routes.get("/session/{session_id}")
async def get_session(runtime: RuntimeDep, session_id: SessionId) -> AgentSessionView:
    """The session and its last 50 messages."""
    return await runtime.session(session_id)


@routes.delete("/session/{session_id}")
async def archive_session(runtime: RuntimeDep, session_id: SessionId) -> Deleted:
    """Archives the session: it is kept, and read-only from then on."""
    return await runtime.archive(session_id)


@routes.get("/tools")
async def list_tools(runtime: RuntimeDep, agent: AgentName | None = None) -> ToolList:
    """The tools of one agent, or of all enabled ones (up to 200 agents)."""
    return await runtime.tools(agent)
