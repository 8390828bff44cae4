"""What of a message is searched, and how a hit is shown."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from bureau_contracts.sessions import Message, Role, ToolCall, ToolResult
from services.sessions.search_text import LONGEST_SNIPPET, snippet, text_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def message(content: str | list[dict[str, object]] = "", **more: object) -> Message:
    fields = {"seq": 1, "message_id": "msg-1", "role": Role.USER, "content": content, "timestamp": NOW, **more}
    return Message.model_validate(fields)


def test_parts_tool_calls_and_results_are_searched_and_field_names_are_not() -> None:
    found = text_of(
        message(
            [{"type": "text", "text": "hello"}, {"type": "file", "name": "bill.pdf", "data": "QUJD" * 100}],
            tool_calls=[ToolCall(call_id="c1", name="find_ticket", arguments={"number": 4711, "open": True})],
            tool_results=[ToolResult(call_id="c1", name="find_ticket", result=[{"title": "printer"}], error="late")],
        )
    )
    assert found.split("\n") == ["hello", "bill.pdf", "find_ticket", "4711", "find_ticket", "printer", "late"]


def test_a_snippet_is_a_piece_of_the_text_with_the_hits_marked() -> None:
    text = "so it goes " * 50 + "the cloud bill is high " + "and on it goes " * 50
    at = text.index("cloud")
    parts = snippet(text, [(at, at + 5), (at + 6, at + 10)])
    assert [part.text for part in parts if part.match] == ["cloud", "bill"]
    assert parts[0].text == parts[-1].text == "…"
    assert "".join(part.text for part in parts[1:-1]) in text
    assert len("".join(part.text for part in parts)) <= LONGEST_SNIPPET + 2


def test_a_short_text_is_shown_whole() -> None:
    assert "".join(part.text for part in snippet("a cloud bill", [(2, 7)])) == "a cloud bill"


@given(st.text(min_size=1, max_size=900), st.data())
def test_a_snippet_always_shows_the_first_hit_and_only_the_text(text: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(begin + 1, len(text)))
    parts = snippet(text, [(begin, end)])
    marked = "".join(part.text for part in parts if part.match)
    assert marked
    assert text[begin:end].startswith(marked)
    assert len("".join(part.text for part in parts)) <= LONGEST_SNIPPET + 2
