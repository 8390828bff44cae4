"""What the runtime does for a caller: answers messages, says who would answer, shows sessions and tools."""

from bureau_contracts.registry import AgentRecord
from bureau_contracts.runtime import (
    AgentSessionView,
    ChatAnswer,
    ChatRequest,
    RouteAnswer,
    RouteRequest,
    ToolInfo,
    ToolList,
)
from bureau_contracts.sessions import Context, Deleted
from kit.errors import Invalid
from kit.identity import Principal
from kit.logs import get_logger
from kit.tasks import together
from services.runtime.agents import AgentBroken, Agents
from services.runtime.errors import AgentUnavailable
from services.runtime.ports import Catalogue, Conversations
from services.runtime.routing import Router
from services.runtime.turn import Turns

log = get_logger(__name__)

SHOWN_MESSAGES = 50
LISTED_AGENTS = 200
"""Agents whose tools are listed at once; each has to be built for it."""


class Runtime:
    def __init__(
        self, catalogue: Catalogue, conversations: Conversations, router: Router, agents: Agents, turns: Turns
    ) -> None:
        self._catalogue, self._conversations = catalogue, conversations
        self._router, self._agents, self._turns = router, agents, turns

    async def chat(self, principal: Principal, request: ChatRequest) -> ChatAnswer:
        return await self._turns.run(principal, request)

    async def route(self, request: RouteRequest) -> RouteAnswer:
        """Who would answer; nothing runs and nothing is recorded."""
        found, context = await together(
            self._router.find(request.query, None, request.limit), self._context(request.session_id)
        )
        return (await self._router.choose(found, request.query, context)).answer

    async def session(self, session_id: str) -> AgentSessionView:
        view = await self._conversations.get(session_id, history_limit=SHOWN_MESSAGES)
        return AgentSessionView(session=view.session, messages=view.conversation_history)

    async def archive(self, session_id: str) -> Deleted:
        return await self._conversations.delete(session_id)

    async def tools(self, agent: str | None) -> ToolList:
        """Of one agent, whether it is enabled or not; or of all enabled ones that can be built."""
        if agent is not None:
            record = await self._catalogue.get(agent)
            try:
                return ToolList(tools=await self._tools_of(record))
            except AgentBroken as broken:
                raise AgentUnavailable(f"agent {agent!r}: {broken}", code=broken.code) from broken
        tools: list[ToolInfo] = []
        number = 0
        async for record in self._catalogue.all(enabled_only=True):
            number += 1
            if number > LISTED_AGENTS:
                raise Invalid(f"agent: there are more than {LISTED_AGENTS} agents; name one", code="agent_needed")
            try:
                tools += await self._tools_of(record)
            except AgentBroken as broken:
                log.warning("agent_broken", agent=record.name, code=broken.code, reason=str(broken))
        return ToolList(tools=tools)

    async def _tools_of(self, record: AgentRecord) -> list[ToolInfo]:
        runner = await self._agents.runner(record)
        return [
            ToolInfo(
                name=each.spec.name, description=each.spec.description, risk=each.spec.risk,
                parameters=each.spec.parameters, agent=record.name,
            )
            for each in runner.tools
        ]  # fmt: skip

    async def _context(self, session_id: str | None) -> Context | None:
        if session_id is None:
            return None
        return (await self._conversations.get(session_id, history_limit=1)).context
