"""The runtime's client: one turn in, one answer out."""

from bureau.http import Caller, segment
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import AgentSessionView, ChatAnswer, ChatRequest, RouteAnswer, RouteRequest, ToolList
from bureau_contracts.sessions import Deleted

TURN_SECONDS = 120.0


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

    async def tools(self, *, agent: str | None = None) -> ToolList:
        return await self._call(ToolList, "GET", "/agent/tools", params={"agent": agent})
