"""The model-and-tools loop: the runner of agents that are instructions and tools (`bureau.agents.Agent`)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from bureau_contracts.runtime import ToolTrace, TurnStatus, Usage
from bureau_contracts.sessions import NewMessage, Role
from kit.logs import get_logger
from kit.telemetry import SpanKind, annotate, current_trace_id, span
from services.runtime import gen_ai
from services.runtime.history import window
from services.runtime.models.catalogue import Models
from services.runtime.models.model import Model, ModelFailed, ModelReply, ModelRequest
from services.runtime.results import storable_text
from services.runtime.runner import Outcome, Work
from services.runtime.toolbox import FAILED, BoundTool, Limits, Toolbox

log = get_logger(__name__)

REPLY_CHARS = 200_000


@dataclass(frozen=True)
class LoopLimits:
    iterations: int
    """Model calls of one turn."""
    seconds: float
    tools: Limits


@dataclass
class _Account:
    """What a turn has used and said so far."""

    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0
    model: str = ""
    messages: list[NewMessage] = field(default_factory=list)

    def add(self, agent: str, reply: ModelReply, text: str) -> NewMessage:
        self.model = reply.model or self.model
        self.cost = None if self.cost is None or reply.cost is None else self.cost + reply.cost
        self.usage = self.usage.model_copy(update={
            "input_tokens": self.usage.input_tokens + reply.input_tokens,
            "output_tokens": self.usage.output_tokens + reply.output_tokens,
            "model_calls": self.usage.model_calls + 1,
            "estimated": self.usage.estimated or reply.estimated,
        })  # fmt: skip
        message = NewMessage(
            role=Role.ASSISTANT, content=text, agent=agent, tool_calls=list(reply.tool_calls),
            input_tokens=reply.input_tokens, output_tokens=reply.output_tokens, cost=reply.cost,
            trace_id=current_trace_id() or None,
        )  # fmt: skip
        self.messages.append(message)
        return message


class LoopRunner:
    """Promises what `Runner` does. Stateless: one instance answers many messages at once."""

    def __init__(
        self,
        name: str,
        instructions: str,
        tools: Sequence[BoundTool],
        models: Models,
        model: str | None,
        limits: LoopLimits,
    ) -> None:
        self._name, self._instructions, self._tools = name, instructions, tuple(tools)
        self._models, self._model, self._limits = models, model, limits

    @property
    def tools(self) -> Sequence[BoundTool]:
        return self._tools

    async def answer(self, work: Work) -> Outcome:
        account = _Account()
        toolbox = Toolbox(self._tools, work.level, work, f"{work.session_id}/{work.turn_id}", self._limits.tools)
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._converse(work, account, toolbox)
        except ModelFailed as failure:
            log.warning("model_failed", agent=self._name, reason=str(failure))
            return self._failed(account, toolbox, f"I could not answer: {failure}.", str(failure))
        except TimeoutError:
            reason = f"the answer took longer than {self._limits.seconds:g} s"
            return self._failed(account, toolbox, f"I could not answer: {reason}.", reason)

    async def _converse(self, work: Work, account: _Account, toolbox: Toolbox) -> Outcome:
        model = self._models.get(self._model)
        conversation = [*window(work.history), NewMessage(role=Role.USER, content=work.message)]
        for iteration in range(1, self._limits.iterations + 1):
            reply = await self._ask(model, work, [*conversation, *account.messages])
            text = storable_text(reply.text, REPLY_CHARS)
            if not reply.tool_calls and not text.strip():
                raise ModelFailed("the model gave an empty answer")
            account.add(self._name, reply, text)
            if not reply.tool_calls:
                return self._outcome(account, toolbox, text, _status(toolbox.traces))
            if iteration == self._limits.iterations:
                break
            results = await toolbox.run(reply.tool_calls, reply.malformed)
            account.messages.append(NewMessage(role=Role.TOOL, agent=self._name, tool_results=results))
        limit = f"the limit of {self._limits.iterations} model calls in one turn was reached"
        text = f"I stopped before I had an answer: {limit}. {_done(toolbox.traces)}"
        return self._failed(account, toolbox, text, limit, TurnStatus.COMPLETED_WITH_ERRORS)

    async def _ask(self, model: Model, work: Work, messages: Sequence[NewMessage]) -> ModelReply:
        attributes = {
            gen_ai.OPERATION: gen_ai.CHAT, gen_ai.PROVIDER: model.provider, gen_ai.REQUEST_MODEL: model.name,
            gen_ai.CONVERSATION_ID: work.session_id,
        }  # fmt: skip
        instructions = self._instructions if work.instructions is None else work.instructions
        request = ModelRequest(instructions, messages, [each.spec for each in self._tools], work.memories)
        with span(f"{gen_ai.CHAT} {model.name}", attributes, SpanKind.CLIENT):
            reply = await model.complete(request)
            annotate({
                gen_ai.RESPONSE_MODEL: reply.model, gen_ai.INPUT_TOKENS: reply.input_tokens,
                gen_ai.OUTPUT_TOKENS: reply.output_tokens,
            })  # fmt: skip
        return reply

    def _failed(
        self, account: _Account, toolbox: Toolbox, text: str, reason: str,
        status: TurnStatus = TurnStatus.ERROR,
    ) -> Outcome:  # fmt: skip
        if account.messages and (calls := account.messages[-1].tool_calls):
            # Broken off between calls and results: closed, so that the next turn finds a whole conversation.
            results = toolbox.close(calls, f"not run: {reason}")
            account.messages.append(NewMessage(role=Role.TOOL, agent=self._name, tool_results=results))
        text = storable_text(text, REPLY_CHARS)
        account.messages.append(NewMessage(role=Role.ASSISTANT, content=text, agent=self._name))
        return self._outcome(account, toolbox, text, status, reason)

    def _outcome(
        self, account: _Account, toolbox: Toolbox, reply: str, status: TurnStatus, error: str | None = None
    ) -> Outcome:
        traces = toolbox.traces
        usage = account.usage.model_copy(update={"tool_calls": len(traces)})
        cost = account.cost if usage.model_calls else None
        return Outcome(status, reply, account.messages, traces, account.model, usage, cost, error)


def _status(traces: Sequence[ToolTrace]) -> TurnStatus:
    failed = any(each.status == FAILED for each in traces)
    return TurnStatus.COMPLETED_WITH_ERRORS if failed else TurnStatus.COMPLETED


def _done(traces: Sequence[ToolTrace]) -> str:
    if not traces:
        return "No tool was called."
    return "Tools called: " + ", ".join(f"{each.name} ({each.status})" for each in traces) + "."
