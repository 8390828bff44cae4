"""One turn from the message to the answer, recorded whole. Chooses nothing and calls no model by itself."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bureau.errors import NotFound
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import ChatAnswer, ChatRequest, TurnStatus
from bureau_contracts.sessions import (
    Context,
    Lifecycle,
    Message,
    NewInvocation,
    NewMessage,
    NewSession,
    NewTurn,
    Role,
    SessionStatus,
    SessionView,
)
from kit.identity import TENANT_WIDE, Principal, acting_as
from kit.ids import new_id
from kit.logs import get_logger
from kit.tasks import together
from kit.telemetry import current_trace_id, span
from services.runtime import gen_ai, policy
from services.runtime.agents import AgentBroken, Agents
from services.runtime.errors import SessionArchived, TurnDiffers
from services.runtime.leases import Leases
from services.runtime.looking_back import LookingBack
from services.runtime.plain_agent import unanswered
from services.runtime.ports import Conversations
from services.runtime.prompts import Prompts
from services.runtime.recall import Recall, Recalled
from services.runtime.results import storable_text
from services.runtime.routing import Route, Router, clarification
from services.runtime.runner import Outcome, Work
from services.runtime.tally import Tally

log = get_logger(__name__)

CONTEXT_CHARS = 20_000
"""Of a message or reply that is kept a second time, in the context and the invocation."""
TITLE_CHARS = 80

_SESSION_STATUS = {
    TurnStatus.COMPLETED: SessionStatus.COMPLETED,
    TurnStatus.COMPLETED_WITH_ERRORS: SessionStatus.COMPLETED_WITH_ERRORS,
    TurnStatus.NEEDS_CLARIFICATION: SessionStatus.IDLE,
    TurnStatus.ERROR: SessionStatus.ERROR,
}


@dataclass(frozen=True)
class _Prepared:
    """A turn that is ready to run."""

    speaker: Principal
    request: ChatRequest
    turn_id: str
    route: Route
    memories: Recalled
    history: Sequence[Message]
    level: AutonomyLevel


class Turns:
    def __init__(
        self,
        conversations: Conversations,
        recall: Recall,
        prompts: Prompts,
        router: Router,
        agents: Agents,
        leases: Leases,
        tally: Tally,
        *,
        looking_back: LookingBack,
    ) -> None:
        self._conversations, self._recall, self._router = conversations, recall, router
        self._prompts = prompts
        self._agents, self._leases, self._tally = agents, leases, tally
        self._looking_back = looking_back

    async def run(self, principal: Principal, request: ChatRequest) -> ChatAnswer:
        """Raises a Refusal or a BureauError while nothing has run. Once the agent was asked, whatever happens is
        recorded and answered, unless the sessions themselves are away by then."""
        speaker = principal.acting_for(request.user_id)
        if request.session_id is None:
            with acting_as(speaker):
                return await self._first(speaker, request)
        if request.user_id is None and principal.may(TENANT_WIDE):
            # Somebody who may act for all goes on in somebody's session: as that user, with that user's memories.
            with acting_as(principal):
                view = await self._conversations.get(request.session_id, history_limit=1)
            speaker = principal.acting_for(view.session.user_id)
        with acting_as(speaker):
            return await self._next(speaker, request, request.session_id)

    async def _first(self, speaker: Principal, request: ChatRequest) -> ChatAnswer:
        """A session is opened only when somebody can answer in it, or a question back can be recorded in it."""
        found, memories = await together(
            self._router.find(request.message, request.agent), self._recall.about(request.message)
        )
        route = await self._router.choose(found, request.message, None)
        session = NewSession(title=_title(request.message))
        if request.autonomy_level is not None:
            session.autonomy_level = request.autonomy_level
        session_id = (await self._conversations.create(session)).session_id
        turn_id = request.turn_id or new_id("turn")
        prepared = _Prepared(speaker, request, turn_id, route, memories, [], session.autonomy_level)
        async with self._leases.hold(session_id) as token:
            return await self._run(prepared, session_id, token)

    async def _next(self, speaker: Principal, request: ChatRequest, session_id: str) -> ChatAnswer:
        async with self._leases.hold(session_id) as token:
            if request.turn_id is not None and (recorded := await self._recorded(session_id, request.turn_id)):
                return recorded
            (view, history), memories, found = await together(
                together(self._conversations.get(session_id, history_limit=0), self._looking_back.at(session_id)),
                self._recall.about(request.message),
                self._router.find(request.message, request.agent),
            )
            _require_active(view)
            route = await self._router.choose(found, request.message, view.context)
            turn_id = request.turn_id or new_id("turn")
            level = request.autonomy_level or view.session.autonomy_level
            prepared = _Prepared(speaker, request, turn_id, route, memories, history, level)
            return await self._run(prepared, session_id, token)

    async def _recorded(self, session_id: str, turn_id: str) -> ChatAnswer | None:
        """What this turn was answered before, None when it is new."""
        try:
            stored = await self._conversations.stored_turn(session_id, turn_id)
        except NotFound:
            return None
        if stored.answer is None:
            raise TurnDiffers(f"{turn_id} was recorded by somebody else; a new turn needs a new id")
        return ChatAnswer.model_validate(stored.answer, extra="ignore")

    async def _run(self, turn: _Prepared, session_id: str, token: int) -> ChatAnswer:
        began = time.perf_counter()
        outcome = await self._outcome(turn, session_id)
        seconds = time.perf_counter() - began
        answer = _answer(turn, session_id, outcome)
        await self._conversations.turn(session_id, _record(turn, outcome, answer, seconds, token))
        agent = answer.agents[0] if answer.agents else ""
        log.info(
            "turn_done", session_id=session_id, turn_id=turn.turn_id, agent=agent, status=answer.status.value,
            reason=turn.route.answer.reason.value, model=outcome.model, memories=len(turn.memories.ids),
            tools=len(outcome.tools), duration_ms=round(seconds * 1000, 1),
        )  # fmt: skip
        self._tally.turn(turn.speaker, agent=agent, status=answer.status, seconds=seconds)
        return answer

    async def _outcome(self, turn: _Prepared, session_id: str) -> Outcome:
        record = await self._router.at_start(turn.route)
        if record is None:
            reply = clarification(turn.route.answer)
            return Outcome(TurnStatus.NEEDS_CLARIFICATION, reply, [NewMessage(role=Role.ASSISTANT, content=reply)])
        work = Work(
            message=turn.request.message, history=turn.history, memories=turn.memories.texts,
            level=policy.effective_level(turn.level, record.autonomy_ceiling), tenant=turn.speaker.tenant,
            user=turn.speaker.subject, session_id=session_id, turn_id=turn.turn_id,
        )  # fmt: skip
        attributes = {
            gen_ai.OPERATION: gen_ai.INVOKE_AGENT, gen_ai.AGENT_NAME: record.name, gen_ai.CONVERSATION_ID: session_id,
        }  # fmt: skip
        with span(f"{gen_ai.INVOKE_AGENT} {record.name}", attributes):
            try:
                runner = await self._agents.runner(record)
                if record.prompt is not None:
                    work = replace(work, instructions=await self._prompts.text(record.prompt, turn.speaker))
            except AgentBroken as broken:
                log.warning("agent_broken", agent=record.name, code=broken.code, reason=str(broken))
                return unanswered(record.name, f"{broken.code}: {broken}")
            return await runner.answer(work)


def _require_active(view: SessionView) -> None:
    if view.session.lifecycle is not Lifecycle.ACTIVE:
        state = view.session.lifecycle.value
        raise SessionArchived(f"{view.session.session_id} is {state}: it can be read, not continued")


def _answer(turn: _Prepared, session_id: str, outcome: Outcome) -> ChatAnswer:
    return ChatAnswer(
        session_id=session_id,
        turn_id=turn.turn_id,
        status=outcome.status,
        reply=outcome.reply,
        agents=turn.route.answer.chosen,
        routing=turn.route.answer,
        tools=list(outcome.tools),
        memories=list(turn.memories.ids),
        model=outcome.model,
        usage=outcome.usage,
        cost=outcome.cost,
        trace_id=current_trace_id(),
    )


def _record(turn: _Prepared, outcome: Outcome, answer: ChatAnswer, seconds: float, token: int) -> NewTurn:
    """Everything that happened, for one write."""
    said = storable_text(turn.request.message, CONTEXT_CHARS)
    reply = storable_text(outcome.reply, CONTEXT_CHARS)
    invocations = [
        NewInvocation(
            agent_name=name, query=said, response=reply, success=outcome.status is not TurnStatus.ERROR,
            error_message=outcome.error, duration_ms=seconds * 1000, input_tokens=outcome.usage.input_tokens,
            output_tokens=outcome.usage.output_tokens, cost=outcome.cost, trace_id=answer.trace_id or None,
        )
        for name in answer.agents
    ]  # fmt: skip
    context = None
    if answer.agents:
        context = Context(last_agent_called=answer.agents[-1], last_query=said, last_response=reply)
    return NewTurn(
        turn_id=turn.turn_id,
        messages=[NewMessage(role=Role.USER, content=turn.request.message), *outcome.messages],
        invocations=invocations,
        context=context,
        status=_SESSION_STATUS[outcome.status],
        answer=answer.model_dump(mode="json"),
        fencing_token=token,
    )


def _title(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"
