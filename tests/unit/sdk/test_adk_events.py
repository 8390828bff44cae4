"""An ADK event is a message and comes back exactly."""

from datetime import UTC, datetime

from google.adk.events import Event
from google.genai import types
from hypothesis import given, settings

from bureau.adapters.adk.events import LONGEST_TEXT, to_event, to_message
from bureau_contracts.sessions import Message, NewMessage, Role
from kit.strict_json import loads as strict_json
from tests import adk_events

AT = datetime(2026, 1, 2, tzinfo=UTC)


def kept(event: Event) -> Message:
    """The message as it is once it went over the wire, and back."""
    body = to_message(event).model_dump_json(exclude_unset=True)
    sent = NewMessage.model_validate(strict_json(body.encode()))
    message = Message(**dict(sent), seq=1, message_id="msg-1", timestamp=AT)
    return Message.model_validate_json(message.model_dump_json())


@given(adk_events.events)
@settings(max_examples=300, deadline=None)
def test_every_event_comes_back_exactly(event: Event) -> None:
    before = event.model_copy(deep=True)
    again = to_event(kept(event))
    assert again == event == before
    assert again.model_dump_json() == event.model_dump_json()


def test_an_event_of_bytes_and_odd_characters_comes_back_exactly() -> None:
    parts = [
        types.Part(inline_data=types.Blob(data=bytes(range(256)) * 100)),
        types.Part(text="a\x00b\u2028😀\U0010ffff"),
    ]
    event = Event(author="user", content=types.Content(role="user", parts=parts))
    message = kept(event)
    assert to_event(message) == event
    assert message.content == "[data, 25600 bytes]\na\N{REPLACEMENT CHARACTER}b\u2028😀\U0010ffff"


def test_what_strict_json_cannot_carry_comes_back_exactly() -> None:
    deep: object = "end"
    for _ in range(200):
        deep = [deep]
    call = types.FunctionCall(name="f\x00", args={"deep": deep, "half": "\ud800", "\x00": "\x00"})
    content = types.Content(role="model", parts=[types.Part(function_call=call)])
    event = Event(author="clerk\x00", content=content, avg_logprobs=float("-inf"))
    message = kept(event)
    assert to_event(message) == event
    assert message.tool_calls[0].name == "f\N{REPLACEMENT CHARACTER}"
    assert message.tool_calls[0].arguments["half"] == "\N{REPLACEMENT CHARACTER}"


def test_an_ordinary_event_is_an_object_in_the_metadata() -> None:
    message = kept(Event(author="user", content=types.Content(role="user", parts=[types.Part(text="häh? 😀")])))
    assert message.metadata["adk"]["event"]["content"]["parts"] == [{"text": "häh? 😀"}]


def test_a_long_text_is_cut_for_readers_and_whole_in_the_event() -> None:
    event = Event(
        author="clerk", content=types.Content(role="model", parts=[types.Part(text="x" * (LONGEST_TEXT + 1))])
    )
    message = kept(event)
    assert message.content == "x" * LONGEST_TEXT + "…"
    assert to_event(message) == event


def test_a_message_that_did_not_come_from_adk_is_an_event_with_its_text() -> None:
    message = Message(
        seq=1, message_id="msg-1", role=Role.ASSISTANT, agent="tickets", timestamp=AT,
        content=[{"type": "text", "text": "Two"}, {"type": "image"}, {"type": "text", "text": "tickets"}],
    )  # fmt: skip
    event = to_event(message)
    assert event is not None
    assert (event.id, event.author, event.timestamp) == ("msg-1", "tickets", AT.timestamp())
    assert event.content == types.Content(role="model", parts=[types.Part(text="Two\ntickets")])
    assert to_event(message.model_copy(update={"role": Role.SYSTEM})) is None
    assert to_event(message.model_copy(update={"role": Role.TOOL})) is None
