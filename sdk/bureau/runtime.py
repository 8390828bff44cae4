"""The runtime's client: one turn in, one answer out."""

from bureau.http import Caller, segment, segments
from bureau_contracts.registry import AutonomyLevel
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
from bureau_contracts.sessions import Deleted
from bureau_contracts.shapes import JsonObject

TURN_SECONDS = 120.0
CALL_SECONDS = 60.0
"""The runtime gives up on a tool after 30 seconds, unless its operator says otherwise."""


class RuntimeClient:
    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def chat(
        self, message: str, *, session_id: str | None = None, user_id: str | None = None, agent: str | None = None,
        autonomy_level: AutonomyLevel | None = None, turn_id: str | None = None, timeout_seconds: float = TURN_SECONDS,
    ) -> ChatAnswer:  # fmt: skip
        """One turn. With a session and a `turn_id` it may be repeated: the recorded answer comes back."""
        given = {
            "message": message, "session_id": session_id, "user_id": user_id, "agent": agent,
            "autonomy_level": autonomy_level, "turn_id": turn_id,
        }  # fmt: skip
        body = ChatRequest(**{key: value for key, value in given.items() if value is not None})
        repeatable = turn_id is not None and session_id is not None
        return await self._call(
            ChatAnswer, "POST", "/agent/chat", body=body, repeatable=repeatable, timeout_seconds=timeout_seconds
        )

    async def route(self, query: str, *, session_id: str | None = None, limit: int | None = None) -> RouteAnswer:
        """Which agents would be chosen, and why; nothing runs."""
        given = {"query": query, "session_id": session_id, "limit": limit}
        body = RouteRequest(**{key: value for key, value in given.items() if value is not None})
        return await self._call(RouteAnswer, "POST", "/agent/route", body=body, repeatable=True)

    async def session(self, session_id: str) -> AgentSessionView:
        return await self._call(AgentSessionView, "GET", f"/agent/session/{segment(session_id)}")

    async def archive(self, session_id: str) -> Deleted:
        return await self._call(Deleted, "DELETE", f"/agent/session/{segment(session_id)}")

    async def call_tool(
        self, name: str, arguments: JsonObject | None = None, *, agent: str | None = None,
        autonomy_level: AutonomyLevel | None = None, idempotency_key: str | None = None,
        timeout_seconds: float = CALL_SECONDS,
    ) -> ToolCalled:  # fmt: skip
        """One call under policy: ``weather``, ``files.read``, ``parcels/list_parcels``. It is sent once: whether it may
        be repeated the answer says, and whether it should its status.

        Forbidden with the code ``approval_needed`` when the level does not allow it. As long as this raises a Refused
        or an Unavailable with status 503, nothing was sent to the tool; any other failure leaves that open."""
        given = {
            "arguments": arguments, "agent": agent, "autonomy_level": autonomy_level,
            "idempotency_key": idempotency_key,
        }  # fmt: skip
        body = CallTool(**{key: value for key, value in given.items() if value is not None})
        path = f"/agent/tools/{segments(name)}/call"
        return await self._call(ToolCalled, "POST", path, body=body, timeout_seconds=timeout_seconds)

    async def tools(self, *, agent: str | None = None) -> ToolList:
        return await self._call(ToolList, "GET", "/agent/tools", params={"agent": agent})
