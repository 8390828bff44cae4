"""The runtime over HTTP."""

from typing import Annotated

from fastapi import Depends, Path, Request

from bureau_contracts.runtime import (
    AgentSessionView,
    CallTool,
    ChatAnswer,
    ChatRequest,
    RouteAnswer,
    RouteRequest,
    ToolCalled,
    ToolList,
)
from bureau_contracts.sessions import Deleted, SessionId
from bureau_contracts.shapes import AgentName
from kit.web import PrincipalDep, router
from services.runtime.service import Runtime
from services.runtime.tools import Tools

routes = router("/agent", "agent")


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


RuntimeDep = Annotated[Runtime, Depends(_runtime)]


def _tools(request: Request) -> Tools:
    tools: Tools = request.app.state.tools
    return tools


ToolsDep = Annotated[Tools, Depends(_tools)]

ToolAddress = Annotated[str, Path(pattern=r"^[^\x00-\x1f\x7f]{1,300}$")]
"""``weather``, ``files.read``, ``parcels/list_parcels``."""


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
async def list_tools(tools: ToolsDep, agent: AgentName | None = None) -> ToolList:
    """What one agent may use; or what all enabled agents bring (up to 200 agents) and what is registered (up to 200
    sources)."""
    return await tools.usable(agent)


@routes.post("/tools/{name:path}/call")
async def call_tool(principal: PrincipalDep, tools: ToolsDep, name: ToolAddress, request: CallTool) -> ToolCalled:
    """One call under policy. A refusal means that nothing was sent; what came of the call is the answer's `status`."""
    return await tools.call(principal, name, request)
