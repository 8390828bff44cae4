"""What an ADK agent did in one turn, read from its events: messages, tool traces, tokens, the reply."""

import time

from google.adk.events import Event

from bureau_contracts.runtime import ToolTrace, TurnStatus, Usage
from bureau_contracts.sessions import NewMessage, Role, ToolCall, ToolResult
from kit.telemetry import current_trace_id
from services.runtime import policy
from services.runtime.adk_policy import PolicyPlugin
from services.runtime.plain_agent import REPLY_CHARS
from services.runtime.results import storable_result, storable_text
from services.runtime.runner import Outcome
from services.runtime.toolbox import COMPLETED, ERROR_CHARS, FAILED, REFUSED

RESULT_KEY = "result"
"""Under which ADK puts what a tool gave back, when that is no object."""


class Account:
    def __init__(self, name: str, plugin: PolicyPlugin, result_chars: int) -> None:
        self._name, self._plugin, self._result_chars = name, plugin, result_chars
        self._messages: list[NewMessage] = []
        self._open: dict[str, tuple[ToolCall, float]] = {}
        self._traces: list[ToolTrace] = []
        self._usage, self._model, self._reply, self._error = Usage(), "", "", ""

    def add(self, event: Event) -> None:
        """A fragment of a longer answer is left out: the whole one follows."""
        if event.partial:
            return
        self._count(event)
        if event.error_code:
            self._error = f"{event.error_code}: {event.error_message or 'the model failed'}"
        text = _text(event)
        calls = [self._call(each.id, each.name, each.args) for each in event.get_function_calls()]
        answers = event.get_function_responses()
        if text or calls:
            self._say(text, calls, event)
        if answers:
            results = [self._result(each.id or "", each.name or "", each.response or {}) for each in answers]
            self._messages.append(NewMessage(role=Role.TOOL, agent=self._name, tool_results=results))
        if text and event.is_final_response():
            self._reply = text

    def outcome(self) -> Outcome:
        if self._error or not self._reply:
            return self.failed(self._error or "the agent gave no answer")
        last = self._messages[-1]
        if last.content != self._reply or last.tool_calls:
            self._messages.append(NewMessage(role=Role.ASSISTANT, content=self._reply, agent=self._name))
        failed = any(each.status == FAILED for each in self._traces)
        return self._outcome(TurnStatus.COMPLETED_WITH_ERRORS if failed else TurnStatus.COMPLETED, self._reply)

    def failed(self, reason: str) -> Outcome:
        """Broken off: every call gets a result, so that the next turn finds a whole conversation."""
        reason = storable_text(reason, ERROR_CHARS)
        if self._open:
            cut: dict[str, object] = {"error": f"it was cut off; whether it took effect is not known ({reason})"}
            self._plugin.failed.update((call, str(cut["error"])) for call in self._open)
            results = [self._result(id_, call.name, cut) for id_, (call, _) in list(self._open.items())]
            self._messages.append(NewMessage(role=Role.TOOL, agent=self._name, tool_results=results))
        reply = storable_text(f"I could not answer: {reason}.", REPLY_CHARS)
        self._messages.append(NewMessage(role=Role.ASSISTANT, content=reply, agent=self._name))
        return self._outcome(TurnStatus.ERROR, reply, reason)

    def _outcome(self, status: TurnStatus, reply: str, error: str | None = None) -> Outcome:
        usage = self._usage.model_copy(update={"tool_calls": len(self._traces)})
        return Outcome(status, reply, self._messages, self._traces, self._model, usage, None, error)

    def _count(self, event: Event) -> None:
        self._model = event.model_version or self._model
        if (used := event.usage_metadata) is None:
            return
        written = (used.candidates_token_count or 0) + (used.thoughts_token_count or 0)
        self._usage = self._usage.model_copy(update={
            "input_tokens": self._usage.input_tokens + (used.prompt_token_count or 0),
            "output_tokens": self._usage.output_tokens + written,
            "model_calls": self._usage.model_calls + 1,
        })  # fmt: skip

    def _say(self, text: str, calls: list[ToolCall], event: Event) -> None:
        used = event.usage_metadata
        self._messages.append(NewMessage(
            role=Role.ASSISTANT, content=text, agent=self._name, tool_calls=calls,
            input_tokens=used.prompt_token_count if used else None,
            output_tokens=used.candidates_token_count if used else None,
            trace_id=current_trace_id() or None,
        ))  # fmt: skip

    def _call(self, call_id: str | None, name: str | None, arguments: dict[str, object] | None) -> ToolCall:
        plain = storable_result(arguments or {}, self._result_chars)
        call = ToolCall(
            call_id=storable_text(call_id or f"call-{len(self._open)}", 200),
            name=storable_text(name or "unnamed", 200),
            arguments=plain if isinstance(plain, dict) else {"cut": plain},
        )  # fmt: skip
        self._open[call_id or call.call_id] = (call, time.perf_counter())
        return call

    def _result(self, call_id: str, name: str, response: dict[str, object]) -> ToolResult:
        call, began = self._open.pop(call_id, (None, time.perf_counter()))
        refused, failed = self._plugin.refused.get(call_id), self._plugin.failed.get(call_id)
        error = refused or failed
        value = response[RESULT_KEY] if set(response) == {RESULT_KEY} else response
        result = None if error else storable_result(value, self._result_chars)
        error = storable_text(error, ERROR_CHARS) if error else None
        self._traces.append(ToolTrace(
            name=name, arguments=call.arguments if call else {}, result=result, error=error,
            risk=self._plugin.risks.get(call_id, policy.UNKNOWN_RISK),
            status=REFUSED if refused else FAILED if failed else COMPLETED,
            duration_ms=round((time.perf_counter() - began) * 1000, 3),
        ))  # fmt: skip
        shown = call.call_id if call else storable_text(call_id or "unknown", 200)
        return ToolResult(call_id=shown, name=storable_text(name or "unnamed", 200), result=result, error=error)


def _text(event: Event) -> str:
    parts = event.content.parts if event.content and event.content.parts else []
    return storable_text("".join(part.text for part in parts if part.text and not part.thought), REPLY_CHARS)
