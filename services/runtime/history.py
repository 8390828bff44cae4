"""What a model is shown of the conversation so far."""

from collections.abc import Sequence

from bureau_contracts.sessions import Message, NewMessage, Role


def window(history: Sequence[Message]) -> list[NewMessage]:
    """The messages as a model reads them, oldest first. A tool's result whose call is before the window is left out,
    and so is a call without a result: models refuse a conversation with only one half of the pair."""
    called = {call.call_id for message in history for call in message.tool_calls}
    answered = {result.call_id for message in history for result in message.tool_results}
    shown: list[NewMessage] = []
    for message in history:
        calls = [call for call in message.tool_calls if call.call_id in answered]
        results = [result for result in message.tool_results if result.call_id in called]
        if message.role is Role.TOOL and not results:
            continue
        if message.role is Role.ASSISTANT and not calls and not message.content:
            continue
        shown.append(NewMessage(role=message.role, content=message.content, tool_calls=calls, tool_results=results))
    return shown
