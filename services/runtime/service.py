"""What the runtime does for a caller: answers messages, says who would answer, shows sessions. Tools: tools.py."""

from bureau_contracts.runtime import AgentSessionView, ChatAnswer, ChatRequest, RouteAnswer, RouteRequest
from bureau_contracts.sessions import Context, Deleted
from kit.identity import Principal
from kit.tasks import together
from services.runtime.ports import Conversations
from services.runtime.routing import Router
from services.runtime.turn import Turns

SHOWN_MESSAGES = 50


class Runtime:
    def __init__(self, conversations: Conversations, router: Router, turns: Turns) -> None:
        self._conversations, self._router, self._turns = conversations, router, turns

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

    async def _context(self, session_id: str | None) -> Context | None:
        if session_id is None:
            return None
        return (await self._conversations.get(session_id, history_limit=1)).context
