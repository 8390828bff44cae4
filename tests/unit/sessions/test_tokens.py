"""Token counts: the provider's where it can be the message's, else an estimate."""

import pytest

from bureau_contracts.sessions import Message, Role, ToolCall
from services.sessions.tokens import PER_MESSAGE, estimated_tokens, message_tokens
from tests.unit.sessions.long_conversation import said


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0, 0),
        ("a", 1, 1),
        ("The quick brown fox jumps over the lazy dog.", 9, 11),
        ("internationalization", 3, 5),
        ("4111 1111 1111 1111", 6, 9),
        ('{"id": 17, "status": "open", "owner": null}', 12, 24),
        ("東京都に住んでいます", 8, 14),
        ("Größenordnung überprüfen", 4, 10),
        ("🎉🎉🎉", 3, 10),
        ("\n\n\n", 1, 3),
    ],
)
def test_an_estimate_is_near_what_vocabularies_of_today_make_of_it(text: str, least: int, most: int) -> None:
    assert least <= estimated_tokens(text) <= most


def test_a_long_text_is_as_many_times_its_part() -> None:
    part = "The order 88-41729 was paid, and Maria told the warehouse. "
    assert estimated_tokens(part * 1000) == pytest.approx(1000 * estimated_tokens(part), rel=0.1)


def test_a_providers_count_is_believed_where_it_can_be_the_messages() -> None:
    text = "The quick brown fox jumps over the lazy dog, twice."
    estimate = message_tokens(answer(text))
    assert message_tokens(answer(text, output_tokens=15)) == PER_MESSAGE + 15
    assert message_tokens(answer(text, output_tokens=5000)) == estimate, "it counted the model's thinking too"
    assert message_tokens(answer(text, output_tokens=0)) == estimate
    asked = said(Role.USER, text).model_copy(update={"input_tokens": 12, "output_tokens": 12})
    assert message_tokens(asked) == estimate, "what went in was more than this message"


def test_tool_calls_count() -> None:
    calls = [ToolCall(call_id="c", name="get_order", arguments={"id": "88-41729"})]
    assert message_tokens(answer("").model_copy(update={"tool_calls": calls})) > message_tokens(answer("")) + 5


def answer(text: str, output_tokens: int | None = None) -> Message:
    return said(Role.ASSISTANT, text).model_copy(update={"output_tokens": output_tokens})
