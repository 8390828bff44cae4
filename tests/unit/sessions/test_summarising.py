"""When a summary is made and of what: nothing is skipped, covered twice or torn apart, and what is left fits."""

from hypothesis import given
from hypothesis import strategies as st

from bureau_contracts.sessions import Message, NewMessage, Role, ToolCall, ToolResult
from services.sessions.branches import Shown
from services.sessions.record import Segment, SummaryPlace
from services.sessions.summarising import (
    PIECE_TOKENS,
    Limit,
    borders,
    digest_of,
    next_covered,
    place_of,
    shown_from,
    summary_budget,
)
from services.sessions.tokens import message_tokens, tokens_of
from tests.session_compaction import pairs_are_whole
from tests.unit.sessions.long_conversation import THEN


def numbered(messages: list[NewMessage]) -> list[Message]:
    return [
        Message(**dict(new), seq=seq, message_id=f"msg-{seq}", timestamp=THEN) for seq, new in enumerate(messages, 1)
    ]


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Texts, calls, results (some late, some never), by whomever."""
    messages, waiting = list[NewMessage](), list[str]()
    for number in range(draw(st.integers(0, 40))):
        text = " ".join(["word"] * draw(st.integers(0, 120)))
        kind = draw(st.sampled_from(["user", "assistant", "call", "result", "result"]))
        if kind == "call":
            ids = [f"call-{number}-{each}" for each in range(draw(st.integers(1, 2)))]
            waiting += ids
            calls = [ToolCall(call_id=each, name="t") for each in ids]
            messages.append(NewMessage(role=Role.ASSISTANT, content=text, tool_calls=calls))
        elif kind == "result" and waiting:
            call_id = waiting.pop(draw(st.integers(0, len(waiting) - 1)))
            result = ToolResult(call_id=call_id, name="t", result=text)
            messages.append(NewMessage(role=Role.TOOL, tool_results=[result]))
        else:
            role = Role.USER if kind == "user" else Role.ASSISTANT
            messages.append(NewMessage(role=role, content=text))
    return numbered(messages)


limits = st.builds(Limit, st.integers(100, 3000), st.none() | st.integers(0, 20))


@given(conversations())
def test_at_a_border_no_result_loses_its_call(messages: list[Message]) -> None:
    for border in borders(messages):
        assert pairs_are_whole(messages[border:])


@given(conversations(), limits, st.integers(0, 50))
def test_covers_never_overlap_or_skip_and_what_is_left_fits(
    messages: list[Message], limit: Limit, summary: int
) -> None:
    left, covered, summary_tokens = messages, list[int](), summary
    while count := next_covered(left, 0, summary_tokens, limit):
        piece, left = left[:count], left[count:]
        covered += [message.seq for message in piece]
        budget = summary_budget(summary_tokens + tokens_of(piece), limit)
        assert budget < summary_tokens + tokens_of(piece), "a summary is shorter than what it replaces"
        assert tokens_of(piece) <= PIECE_TOKENS or len(borders(piece)) == 1, "what is larger belongs together"
        assert pairs_are_whole(left)
        summary_tokens = budget
    assert covered + [message.seq for message in left] == [message.seq for message in messages]
    if limit.keep_last is not None and covered:
        assert len(left) >= min(limit.keep_last, len(messages))
    if borders(left) and limit.keep_last is None:
        assert summary_tokens + tokens_of(left) <= limit.max_tokens


@given(conversations(), limits)
def test_under_the_limit_nothing_is_covered(messages: list[Message], limit: Limit) -> None:
    enough = Limit(max(100, tokens_of(messages)), limit.keep_last)
    assert next_covered(messages, 0, 0, enough) == 0


@given(conversations(), st.integers(1, 500), st.booleans())
def test_a_window_fits_and_begins_with_no_half_of_a_pair(messages: list[Message], tokens: int, all_here: bool) -> None:
    cut = messages if all_here else messages[len(messages) // 3 :]
    first = shown_from(cut, tokens, all_here=all_here)
    assert tokens_of(cut[first:]) <= tokens
    if not all_here or first:
        assert pairs_are_whole(cut[first:])
    if first > 0 and all(not each.tool_calls and not each.tool_results for each in cut):
        assert message_tokens(cut[first - 1]) + tokens_of(cut[first:]) > tokens, "no more would have fitted"


def test_a_call_waits_for_its_result_until_the_user_speaks_again() -> None:
    call = NewMessage(role=Role.ASSISTANT, tool_calls=[ToolCall(call_id="c", name="t")])
    other, user = NewMessage(role=Role.ASSISTANT, content="wait"), NewMessage(role=Role.USER, content="well?")
    assert borders(numbered([user, call, other])) == [1]
    assert borders(numbered([user, call, other, user, other])) == [1, 3, 4, 5]


def test_where_a_message_stands_is_the_same_for_whoever_shows_it() -> None:
    own = Shown("sess-1", 0, (), 10)
    rewound = Shown("sess-1", 1, (Segment("sess-1", 0, 6),), 9)
    fork = Shown("sess-2", 0, (Segment("sess-1", 0, 6), Segment("sess-1", 1, 8)), 12)
    assert [place_of(each, 5) for each in (own, rewound, fork)] == [SummaryPlace("sess-1", 0, 5)] * 3
    assert [place_of(each, 8) for each in (rewound, fork)] == [SummaryPlace("sess-1", 1, 8)] * 2
    assert place_of(own, 8) == SummaryPlace("sess-1", 0, 8), "another message of the same number"
    assert place_of(fork, 12) == SummaryPlace("sess-2", 0, 12)
    assert place_of(own, 11) is None


def test_a_digest_is_of_content_order_and_what_came_before() -> None:
    messages = numbered([NewMessage(role=Role.USER, content=text) for text in "abc"])
    digest = digest_of(messages)
    assert digest == digest_of([message.model_copy() for message in messages])
    changed = messages[1].model_copy(update={"content": "B"})
    for other in (messages[:2], [messages[0], changed, messages[2]], messages[::-1]):
        assert digest_of(other) != digest
    assert digest_of(messages[1:], digest_of(messages[:1])) != digest_of(messages[1:], digest_of(messages[:0]))
