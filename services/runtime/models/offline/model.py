"""The offline model: rules instead of a language model, so that everything runs without a key and always the same.

It matches words, calls tools and shows what they give. It says so when that is not enough, and never makes anything up.
"""

import re
from collections.abc import Sequence

from bureau_contracts.sessions import NewMessage, Role, ToolCall
from kit.clock import Clock
from kit.ids import new_id
from services.runtime.models.model import ModelReply, ModelRequest, ToolSpec, estimate_tokens
from services.runtime.models.offline import answering
from services.runtime.models.offline.deciding import Decider, Decision
from services.runtime.models.offline.referring import Exchange, exchanges, last_user, past_of, rows_of
from services.runtime.models.offline.words import READ_CHARS, name_words, words

_GREETING = re.compile(r"^(hi|hello|hey|good (morning|afternoon|evening|day)|greetings)\b")
_THANKS = re.compile(r"^(many )?(thanks?|thank you|thx|cheers)\b")
_ABILITIES = re.compile(r"^help\b|\bwhat (can|do) you do\b|\bwhat can i (ask|do)\b|\bhow (can|do) you help\b")
_REMEMBER = re.compile(
    r"\b(remember|know) (about|of)? ?(me|us)\b|\bwhat (did|have) i (tell|told)\b|\bmy preferences?\b"
)
MAX_SHOWN_ABILITIES = 8


class OfflineModel:
    """Promises what `Model` does. Fails never; the clock is for “last month”."""

    provider = "bureau"
    name = "offline"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def complete(self, request: ModelRequest) -> ModelReply:
        start = last_user(request.messages)
        message = _text(request.messages[start])[:READ_CHARS] if request.messages else ""
        done = exchanges(request.messages[start:])
        if done:
            return self._reply(request, _results(request, message, done))
        if small := _small_talk(message, request):
            return self._reply(request, small)
        decision = Decider(request.tools, past_of(request.messages), self._clock.now().date(), message).decide()
        if decision.calls:
            calls = tuple(
                ToolCall(call_id=new_id("call"), name=each.tool, arguments=each.arguments) for each in decision.calls
            )
            return self._reply(request, "", calls)
        return self._reply(request, _without_calls(decision, message, request))

    def _reply(self, request: ModelRequest, text: str, calls: tuple[ToolCall, ...] = ()) -> ModelReply:
        read = [request.instructions, *request.memories, *(_text(each) for each in request.messages)]
        written = text + "".join(f"{each.name}{each.arguments}" for each in calls)
        return ModelReply(
            text, calls, model=self.name, input_tokens=sum(map(estimate_tokens, read)),
            output_tokens=estimate_tokens(written), estimated=True, cost=0.0,
        )  # fmt: skip


def _results(request: ModelRequest, message: str, done: Sequence[Exchange]) -> str:
    parts = [answering.answer(done), _which_of_several(request, done), answering.recalled(message, request.memories)]
    return "\n\n".join(part for part in parts if part)


def _which_of_several(request: ModelRequest, done: Sequence[Exchange]) -> str:
    """When one of several rows was taken because the message named none, that is said."""
    before = past_of(request.messages)
    rows = before.shown
    taken = done[0].call.arguments.values()
    if len(done) > 1 or len(rows) < 2 or done[0].result.error or rows_of(done[0].result.result) == rows:
        return ""
    message = _text(request.messages[last_user(request.messages)])
    first = [value for name, value in rows[0].items() if name == "id" or name.endswith("_id")]
    if not first or first[0] not in taken or str(first[0]).lower() in message.lower() or "first" in message.lower():
        return ""
    return f"(This is the first of {len(rows)}; say “the second one” for another.)"


def _small_talk(message: str, request: ModelRequest) -> str:
    text = message.strip().lower()
    if _REMEMBER.search(text):
        known = "\n".join(f"You told me: {each}" for each in request.memories)
        return known or "I remember nothing about you that fits this."
    if len(words(text)) > 6:
        return ""
    if _GREETING.match(text) and len(words(text)) <= 4:
        return f"Hello! {_abilities(request.tools)}"
    if _THANKS.match(text):
        return "You are welcome."
    return _abilities(request.tools) if _ABILITIES.search(text) else ""


def _without_calls(decision: Decision, message: str, request: ModelRequest) -> str:
    if decision.tool is not None:
        missing = " and ".join(" ".join(name_words(each)) for each in decision.missing)
        example = next(iter(decision.tool.examples), "")
        return f"Which {missing}?" + (f" For example: “{example}”." if example else "")
    if decision.note:
        return decision.note
    known = answering.recalled(message, request.memories)
    sorry = "I am the offline model: I match words and call this agent's tools, and nothing here fits your message."
    return "\n\n".join(part for part in (known, f"{sorry} {_abilities(request.tools)}") if part)


def _abilities(tools: Sequence[ToolSpec]) -> str:
    if not tools:
        return "This agent has no tools, so without a language model it can do little."
    shown = [
        f"“{tool.examples[0]}”" if tool.examples else " ".join(name_words(tool.name))
        for tool in tools[:MAX_SHOWN_ABILITIES]
    ]
    return f"You can say: {', '.join(shown)}."


def _text(message: NewMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return " ".join(str(part.get("text", "")) for part in message.content if message.role is not Role.TOOL)
