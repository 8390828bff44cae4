"""Which sentences of a conversation are kept when most must go. Pure: no model, no clock, nothing is rephrased.

Sentences are chosen one after the other: whichever tells most that was not told yet, for its length. What an earlier
extract kept takes part again.
"""

import heapq
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bureau_contracts.sessions import Message, Role, ToolCall, ToolResult
from services.sessions.sentences import Kind, facts, gives_no_answer, is_question, kind_of, sentences
from services.sessions.tokens import compact_json, content_text, estimated_tokens

TITLE = "Extract, word for word, of what was said before:"
HEADINGS = {
    Kind.DECISION: "Decisions:",
    Kind.OPEN: "Open:",
    Kind.PREFERENCE: "Preferences and people:",
    Kind.TOOL: "Tool results:",
    Kind.OTHER: "Also said:",
}
WEIGHTS = {Kind.DECISION: 5.0, Kind.OPEN: 4.5, Kind.PREFERENCE: 5.0, Kind.TOOL: 3.0, Kind.OTHER: 0.0}
MOST_FACTS = 6
"""Of one sentence that count: a table in prose is not worth more than all the rest."""
PLAIN_SHARE = 0.3
"""Of an extract that sentences may have which hold nothing exact and are of no kind: they give the rest its context."""
ENTRIES, PAIRS = 5, 6
"""Of a tool's result that are shown: entries of a list, and pairs of an entry."""
VALUE_CHARS = 60

_LINE = re.compile(r"^- \[(\d+) ([^\]]*)\] (.+)$")
_PAIR = re.compile(r"[\w.]+=[^,;)\s]+")
_TELLING = re.compile(
    r"id|key|number|name|title|status|state|total|amount|price|cost|date|time|due|error|count", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Item:
    """A line of an extract."""

    seq: int
    """Of the message that it is from; 0 when that is not known."""
    who: str
    kind: Kind
    text: str
    worth: float = 0.0
    """For where it stands."""
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def line(self) -> str:
        return f"- [{self.seq} {self.who}] {self.text}"


def extract(before: str, messages: Sequence[Message], tokens: int) -> str:
    """The best lines of both, in so many tokens. "" when not even one has room."""
    items = [*items_of_extract(before), *items_of(messages)]
    chosen = choose(items, tokens - estimated_tokens(TITLE))
    while chosen and estimated_tokens(_laid_out(chosen)) > tokens:
        chosen.pop()  # an estimate of the whole may be above the sum of its lines' estimates
    return _laid_out(chosen) if chosen else ""


def items_of_extract(text: str) -> Iterator[Item]:
    """Of an earlier extract its lines, of any other summary its sentences."""
    if not text.startswith(TITLE):
        for sentence in sentences(text):
            yield Item(0, "summary", kind_of(sentence), sentence, 2.0, facts(sentence))
        return
    kinds = {heading: kind for kind, heading in HEADINGS.items()}
    kind = Kind.OTHER
    for line in text.splitlines():
        kind = kinds.get(line, kind)
        if match := _LINE.match(line):
            yield Item(int(match[1]), match[2], kind, match[3], 1.0, facts(match[3]))


def items_of(messages: Sequence[Message]) -> Iterator[Item]:
    calls = {call.call_id: call for message in messages for call in message.tool_calls}
    first = next((message.seq for message in messages if message.role is Role.USER), 0)
    for index, message in enumerate(messages):
        recent = index / len(messages)
        worth = recent + (1.5 if message.seq == first else 0) + (0.5 if message.role is Role.USER else 0)
        answer = _answer_to(messages, index)
        for result in message.tool_results:
            text = result_line(calls.get(result.call_id), result)
            pairs = dict.fromkeys(_PAIR.findall(text.lower()), 1.0)
            yield Item(message.seq, "tool", Kind.TOOL, text, recent, {**facts(text), **pairs})
        for place, sentence in enumerate(sentences(content_text(message.content))):
            unanswered = is_question(sentence) and (answer is None or gives_no_answer(answer))
            kind = Kind.OPEN if unanswered else kind_of(sentence)
            begins = 0.5 if place == 0 else 0.0
            asked = -1.0 if is_question(sentence) and not unanswered else 0.0
            who = message.agent or message.role.value
            yield Item(message.seq, who, kind, sentence, worth + begins + asked, facts(sentence))


def choose(items: Iterable[Item], tokens: int) -> list[Item]:
    """Greedily, by what a line adds. A line's worth only falls as others are chosen, so the best is looked at again."""
    known, said = set[str](), list[frozenset[str]]()
    waiting = [(-_gain(item, known), number, item) for number, item in enumerate(items)]
    heapq.heapify(waiting)
    chosen, left, shown = list[Item](), tokens, set[Kind]()
    plain_left = tokens * PLAIN_SHARE
    while waiting:
        _, number, item = heapq.heappop(waiting)
        gain = _gain(item, known)
        if waiting and -gain > waiting[0][0]:
            heapq.heappush(waiting, (-gain, number, item))
            continue
        cost = _cost(item) + (0 if item.kind in shown else estimated_tokens(HEADINGS[item.kind]) + 1)
        words = frozenset(item.text.lower().split())
        plain = item.kind is Kind.OTHER and not item.facts
        if cost > left or (plain and cost > plain_left) or _repeats(item, words, known, said):
            continue
        chosen.append(item)
        left -= cost
        plain_left -= cost if plain else 0
        shown.add(item.kind)
        known.update(item.facts)
        said.append(words)
    return chosen


def result_line(call: ToolCall | None, result: ToolResult) -> str:
    """A tool's result in a line: what tells most of it, and how much there is."""
    asked = ", ".join(f"{key}={_value(value)}" for key, value in (call.arguments if call else {}).items())
    outcome = f"failed: {_value(result.error)}" if result.error else _digest(result.result)
    return " ".join(f"{result.name}({asked}) → {outcome}".split())


def _laid_out(chosen: Sequence[Item]) -> str:
    """In the order in which it was said, kind by kind."""
    lines = [TITLE]
    for kind, heading in HEADINGS.items():
        of_kind = sorted((item for item in chosen if item.kind is kind), key=lambda item: item.seq)
        lines += [heading, *(item.line for item in of_kind)] if of_kind else []
    return "\n".join(lines)


def _gain(item: Item, known: set[str]) -> float:
    new = sorted((weight for fact, weight in item.facts.items() if fact not in known), reverse=True)[:MOST_FACTS]
    stale = WEIGHTS[item.kind] if new or not item.facts else WEIGHTS[item.kind] / 2
    return (sum(new) + stale + item.worth + 0.1) / math.pow(_cost(item), 0.6)


def _cost(item: Item) -> int:
    return estimated_tokens(item.line) + 1


def _repeats(item: Item, words: frozenset[str], known: set[str], said: Sequence[frozenset[str]]) -> bool:
    if not item.facts.keys() <= known:
        return False
    return any(len(words & each) >= 0.7 * len(words | each) for each in said)


def _answer_to(messages: Sequence[Message], index: int) -> str | None:
    """What the other side said next; None when it has not spoken since."""
    asker = messages[index].role
    if asker not in (Role.USER, Role.ASSISTANT):
        return ""
    other = Role.ASSISTANT if asker is Role.USER else Role.USER
    for message in messages[index + 1 :]:
        if message.role is other and message.content:
            return content_text(message.content)
    return None


def _digest(value: Any) -> str:
    if isinstance(value, dict):
        lists = {key: each for key, each in value.items() if isinstance(each, list) and each}
        own = {key: each for key, each in value.items() if key not in lists}
        parts = [_pairs(own)] if own else []
        parts += [f"{key}: {_digest(each)}" for key, each in lists.items()]
        return "; ".join(parts) or "{}"
    if isinstance(value, list):
        shown = [_pairs(each) if isinstance(each, dict) else _value(each) for each in value[:ENTRIES]]
        return f"{len(value)} ({'; '.join(shown)}{'; …' if len(value) > ENTRIES else ''})" if value else "none"
    return _value(value)


def _pairs(value: dict[str, Any]) -> str:
    """The keys that tell most, in their own order."""
    keys = sorted(value, key=lambda key: not _TELLING.search(key))[:PAIRS]
    pairs = ", ".join(f"{key}={_value(each)}" for key, each in value.items() if key in keys)
    return pairs + (", …" if len(value) > PAIRS else "")


def _value(value: Any) -> str:
    text = compact_json(value)
    return text if len(text) <= VALUE_CHARS else text[: VALUE_CHARS - 1].rsplit(" ", 1)[0] + "…"
