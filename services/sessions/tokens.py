"""How many tokens messages take up in a model's context: the provider's count where it gave one, else an estimate.

The estimate follows how byte-pair vocabularies of today's models cut text; it is no tokenizer and says so by its name.
"""

import json
import re
from collections.abc import Iterable, Sequence

from bureau_contracts.sessions import Message, Role
from bureau_contracts.shapes import JsonObject

PER_MESSAGE = 4
"""What the frame of a message (role, separators) takes up with most providers."""
SAMPLED_CHARS = 8192
"""Of a longer text its beginning and its end are estimated, and the rest taken to be like them."""
BELIEVED = 3.0
"""A provider's count that is more than so many times the estimate, or less than its such part, counted something else
too (a model's thinking, say): it is not the size of the message."""

WORD_LETTERS = 8
"""A word of so many English letters is one token with the space before it; longer ones fall apart."""

_LETTERS = re.compile(r"[^\W\d_]+")
_LONG_WORDS = re.compile(rf"[A-Za-z]{{{WORD_LETTERS + 1},}}")
_DIGITS = re.compile(r"[0-9]{1,3}")
_MARKS = re.compile(r"[^\w\s]{1,2}|_+")  # marks that stand together share tokens: `",` and `":`
_WIDE = re.compile("[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef]")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


def message_tokens(message: Message) -> int:
    """Of one message with its tool calls and results."""
    estimate = PER_MESSAGE + estimated_tokens(text_of(message))
    counted = message.output_tokens if message.role is Role.ASSISTANT else None
    if counted and estimate / BELIEVED <= counted <= estimate * BELIEVED:
        return PER_MESSAGE + counted
    return estimate


def tokens_of(messages: Iterable[Message]) -> int:
    return sum(message_tokens(message) for message in messages)


def estimated_tokens(text: str) -> int:
    """At least 1 for a text that is not empty."""
    if len(text) <= SAMPLED_CHARS:
        return _estimate(text)
    half = SAMPLED_CHARS // 2
    sampled = _estimate(text[:half]) + _estimate(text[-half:])
    return round(sampled * len(text) / SAMPLED_CHARS)


def text_of(message: Message) -> str:
    """Everything of a message that a model is shown, as one text."""
    parts = [content_text(message.content)]
    parts += [f"{call.name} {compact_json(call.arguments)}" for call in message.tool_calls]
    parts += [f"{each.name} {each.error or compact_json(each.result)}" for each in message.tool_results]
    return "\n".join(part for part in parts if part)


def content_text(content: str | Sequence[JsonObject]) -> str:
    """The words of a message's content; a part that is no text stands there as its JSON."""
    if isinstance(content, str):
        return content
    return "\n".join(str(part["text"]) if "text" in part else compact_json(part) for part in content)


def compact_json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _estimate(text: str) -> int:
    """Words, groups of three digits, pairs of marks, lines; Chinese, Japanese and Korean by the character."""
    if not text:
        return 0
    tokens = 0.0
    if text.isascii():
        words = len(_LETTERS.findall(text))
    else:
        text, wide = _WIDE.subn(" ", text)
        text, astral = _ASTRAL.subn(" ", text)
        others = [word for word in _LETTERS.findall(text) if not word.isascii()]
        words = len(_LETTERS.findall(text)) - len(others)
        tokens += 1.1 * wide + 2.5 * astral + sum(-(-len(word) // 3) for word in others)
    tokens += words + sum(-(-len(word) // 5) - 1 for word in _LONG_WORDS.findall(text))
    tokens += len(_DIGITS.findall(text)) + len(_MARKS.findall(text)) + text.count("\n")
    return max(1, round(tokens))
