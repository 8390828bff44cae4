"""What a model is shown of the conversation."""

from datetime import UTC, datetime

from bureau_contracts.sessions import Message, Role, ToolCall, ToolResult
from services.runtime.history import window


def said(role: Role, content: str = "", *, calls: str = "", results: str = "") -> Message:
    return Message(
        seq=1, message_id="msg-1", role=role, content=content, timestamp=datetime(2026, 1, 2, tzinfo=UTC),
        tool_calls=[ToolCall(call_id=each, name="t") for each in calls],
        tool_results=[ToolResult(call_id=each, name="t") for each in results],
    )  # fmt: skip


def test_a_whole_conversation_is_shown_as_it_was() -> None:
    history = [
        said(Role.USER, "a"),
        said(Role.ASSISTANT, calls="x"),
        said(Role.TOOL, results="x"),
        said(Role.ASSISTANT, "b"),
    ]
    assert [each.role for each in window(history)] == [each.role for each in history]


def test_results_whose_call_is_before_the_window_are_left_out() -> None:
    shown = window([said(Role.TOOL, results="x"), said(Role.ASSISTANT, "b")])
    assert [(each.role, each.content) for each in shown] == [(Role.ASSISTANT, "b")]


def test_calls_that_never_got_a_result_are_left_out() -> None:
    shown = window([said(Role.USER, "a"), said(Role.ASSISTANT, calls="x"), said(Role.ASSISTANT, "text", calls="yz"),
                    said(Role.TOOL, results="y")])  # fmt: skip
    assert [[call.call_id for call in each.tool_calls] for each in shown] == [[], ["y"], []]
