"""The summary that needs no model: what it keeps of a long conversation, and what it never does."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bureau_contracts.sessions import Message, Role
from services.sessions.extracting import TITLE, extract, items_of, result_line
from services.sessions.sentences import LONG_TOKENS, Kind, facts, kind_of, sentences
from services.sessions.summarising import Limit, material_tokens, next_covered, summary_budget
from services.sessions.tokens import SAMPLED_CHARS, estimated_tokens, text_of, tokens_of
from tests.unit.sessions.long_conversation import PLANTED, RESULTS, conversation, said

MUST_BE_FOUND = [words for kind in PLANTED.values() for _, words in kind] + [words for *_, words in RESULTS]


def compacted(messages: list[Message], limit: Limit, before: str = "") -> tuple[str, list[Message]]:
    """As the service does it: the summary, and the messages behind it."""
    while count := next_covered(messages, 0, estimated_tokens(before), limit):
        replaced = estimated_tokens(before) + tokens_of(messages[:count])
        before = extract(before, messages[:count], summary_budget(replaced, limit))
        messages = messages[count:]
    return before, messages


def survivors(summary: str, messages: list[Message]) -> float:
    shown = "\n".join([summary, *(text_of(message) for message in messages)])
    return sum(words in shown for words in MUST_BE_FOUND) / len(MUST_BE_FOUND)


@pytest.mark.parametrize(("max_tokens", "floor"), [(800, 0.5), (1500, 0.9), (3000, 0.95)])
def test_names_numbers_decisions_questions_preferences_and_results_survive(max_tokens: int, floor: float) -> None:
    messages = conversation()
    assert tokens_of(messages) > 4 * 1500
    summary, left = compacted(messages, Limit(max_tokens))
    assert estimated_tokens(summary) + tokens_of(left) <= max_tokens
    assert survivors(summary, left) >= floor


def test_they_survive_many_summaries_of_summaries_too() -> None:
    summary, left, times = "", list[Message](), 0
    for message in conversation():
        before = summary
        summary, left = compacted([*left, message], Limit(1500), summary)
        times += summary != before
    assert times > 10
    assert survivors(summary, left) >= 0.9


def test_it_is_marked_and_holds_whole_sentences_as_they_were_said() -> None:
    messages = conversation()
    said_text = "\n".join(text_of(message) for message in messages)
    title, *lines = extract("", messages, 600).splitlines()
    assert title == TITLE
    quoted = [line.split("] ", 1)[1] for line in lines if line.startswith("- [") and " tool] " not in line]
    assert len(quoted) > 10
    assert all(sentence in said_text for sentence in quoted)
    assert all(sentence.endswith((".", "?", "!")) for sentence in quoted)


def test_a_models_summary_is_taken_over_sentence_by_sentence() -> None:
    text = extract("The budget is $900. They agreed on Tuesday.", [said(Role.USER, "Call Marta Ruiz.")], 200)
    assert "$900" in text
    assert "Tuesday" in text
    assert "Marta Ruiz" in text


def test_a_question_that_got_no_answer_is_open_and_one_that_did_is_not() -> None:
    asked = said(Role.USER, "Which port do they use?")
    open_one = list(items_of([asked, said(Role.ASSISTANT, "I'm not sure, I have to check.")]))
    answered = list(items_of([asked, said(Role.ASSISTANT, "They use Rotterdam.")]))
    assert open_one[0].kind is Kind.OPEN
    assert answered[0].kind is Kind.OTHER


def test_a_tools_result_becomes_a_line_that_says_how_much_there_is() -> None:
    messages = conversation()
    result = next(each for message in messages for each in message.tool_results if each.name == "list_pallets")
    many = result.model_copy(update={"result": [{"id": number, "note": "x" * 500} for number in range(40)]})
    line = result_line(None, many)
    assert line.startswith("list_pallets() → 40 (id=0, note=")
    assert line.endswith("; …)")
    assert len(line) < 600


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Okafor called. It was 3.5 km away!", ["Dr. Okafor called.", "It was 3.5 km away!"]),
        ("- one thing\n- another\n\n", ["one thing", "another"]),
        ("どうぞ。はい。", ["どうぞ。", "はい。"]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_texts_fall_into_sentences(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


def test_a_very_long_sentence_is_parted_and_says_so() -> None:
    parts = list(sentences("we carried " + ", ".join(f"box {number} of tea" for number in range(60))))
    assert len(parts) > 3
    assert all(part.endswith(" …") for part in parts[:-1])
    assert all(part.startswith("… ") for part in parts[1:])
    assert all(estimated_tokens(part) <= LONG_TOKENS for part in parts)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10**6,
        "A. " * 100_000,
        " " * 10**6,
        "." * 200_000,
        "word " * 100_000,
        "1" * 10**6,
        "あ" * 200_000,
        "A " * 10**5,
    ],
)
def test_hostile_texts_cost_no_more_than_their_length(text: str) -> None:
    began = time.monotonic()
    for sentence in sentences(text):
        facts(sentence)
        kind_of(sentence)
    assert time.monotonic() - began < 20  # a quadratic one would take hours


@given(st.lists(st.text(max_size=200), min_size=1, max_size=20), st.integers(1, 400), st.text(max_size=200))
@example(["1", "2", "0:\U00010000" + "0", "0:0:\U00010000" + "0", "0000000000"], 71, "0")
def test_whatever_was_said_an_extract_is_never_longer_than_it_may_be(
    texts: list[str], tokens: int, before: str
) -> None:
    messages = [said(Role.USER, text).model_copy(update={"seq": seq}) for seq, text in enumerate(texts, start=1)]
    text = extract(before, messages, tokens)
    assert estimated_tokens(text) <= tokens
    assert material_tokens(None, messages) >= len(messages)


def test_a_long_extract_whose_ends_are_dense_is_no_longer_than_it_may_be_either() -> None:
    """Of a long text the estimate looks at the ends alone."""
    dense = [f"Shipment {n} is #{n}-{n * 7}/{n * 13} [{n}:{n}:{n}] {{{n}}} <{n}>." for n in range(100, 180)]
    plain = [f"Our colleague number {n} considered international transportation." for n in range(200, 320)]
    texts = [*dense[:40], *plain, *dense[40:]]
    messages = [said(Role.USER, text).model_copy(update={"seq": seq}) for seq, text in enumerate(texts, start=1)]
    text = extract("", messages, 4000)
    assert len(text) > SAMPLED_CHARS
    assert estimated_tokens(text) <= 4000
