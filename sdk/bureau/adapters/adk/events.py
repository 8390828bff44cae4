"""An ADK event as a message of Bureau, and back.

The exact event stands in the message's metadata, as an object, or as JSON text where strict JSON cannot carry it. Role,
text, agent and tool calls are for everybody else who reads the session, and are cut where they do not fit. A message
without an event (an operator's note, an answer of Bureau's own runtime) is shown to ADK as an event with its text.
"""

import json

from google.adk.events import Event
from google.genai import types
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from bureau.adapters.adk.names import KEY
from bureau.adapters.adk.storable import is_storable, storable, storable_text
from bureau_contracts.sessions import Message, NewMessage, Role, ToolCall, ToolResult
from bureau_contracts.shapes import AgentName, JsonObject

USER = "user"
"""The author of what a person said."""
LONGEST_TEXT = 100_000
LONGEST_LABEL = 200
MOST_CALLS = 100

_AGENT_NAME = TypeAdapter[str](AgentName)


def to_message(event: Event) -> NewMessage:
    usage = event.usage_metadata
    # By alias: without it the scheme of a requested credential does not come back as what it was.
    exact = event.model_dump(mode="json", by_alias=True, exclude_none=True)
    return NewMessage(
        role=_role(event),
        content=_plain(_text(event)),
        agent=_agent(event.author),
        tool_calls=[_call(each) for each in event.get_function_calls()[:MOST_CALLS]],
        tool_results=[_result(each) for each in event.get_function_responses()[:MOST_CALLS]],
        input_tokens=_count(usage.prompt_token_count) if usage else None,
        output_tokens=_count(usage.candidates_token_count) if usage else None,
        metadata={KEY: {"event": exact if is_storable(exact) else json.dumps(exact)}},
    )


def to_event(message: Message) -> Event | None:
    """None for what ADK has no event for: a system's or a tool's message that did not come from ADK."""
    match message.metadata.get(KEY):
        case {"event": dict(event)}:
            return Event.model_validate(event)
        case {"event": str(text)}:
            return Event.model_validate(json.loads(text))
    if message.role not in (Role.USER, Role.ASSISTANT):
        return None
    user = message.role is Role.USER
    return Event(
        id=message.message_id,
        invocation_id=message.message_id,
        author=USER if user else message.agent or message.role.value,
        content=types.Content(role=USER if user else "model", parts=[types.Part(text=_spoken(message.content))]),
        timestamp=message.timestamp.timestamp(),
    )


def _role(event: Event) -> Role:
    if event.get_function_responses():
        return Role.TOOL
    return Role.USER if event.author == USER else Role.ASSISTANT


def _text(event: Event) -> str:
    parts = event.content.parts if event.content else None
    pieces = [piece for part in parts or () if (piece := _piece(part))]
    if event.actions.rewind_before_invocation_id:
        pieces.append(f"[rewound to before {event.actions.rewind_before_invocation_id}]")
    if event.error_code or event.error_message:
        pieces.append(f"[error {event.error_code or ''}: {event.error_message or ''}]")
    return "\n".join(pieces)


def _piece(part: types.Part) -> str:
    """What a person reads of a part; thoughts, tool calls and their results are none of it."""
    if part.text and not part.thought:
        return part.text
    if part.inline_data:
        return f"[{part.inline_data.mime_type or 'data'}, {len(part.inline_data.data or b'')} bytes]"
    if part.file_data:
        return f"[{part.file_data.mime_type or 'file'}: {part.file_data.file_uri or ''}]"
    if part.executable_code:
        return part.executable_code.code or ""
    if part.code_execution_result:
        return part.code_execution_result.output or ""
    return ""


def _call(call: types.FunctionCall) -> ToolCall:
    name = _label(call.name)
    return ToolCall(call_id=_label(call.id or name), name=name, arguments=storable(to_jsonable_python(call.args or {})))


def _result(response: types.FunctionResponse) -> ToolResult:
    name = _label(response.name)
    result = storable(to_jsonable_python(response.response))
    return ToolResult(call_id=_label(response.id or name), name=name, result=result)


def _agent(author: str) -> str | None:
    if author == USER:
        return None
    try:
        return _AGENT_NAME.validate_python(author)
    except ValidationError:
        return None


def _label(text: str | None) -> str:
    return _plain(text or "")[:LONGEST_LABEL] or "unnamed"


def _plain(text: str) -> str:
    text = storable_text(text)
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"


def _count(tokens: int | None) -> int | None:
    return None if tokens is None else max(tokens, 0)


def _spoken(content: str | list[JsonObject]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
