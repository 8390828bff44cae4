"""What of a message can be searched, as one text, and how a hit in it is shown. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from bureau_contracts.sessions import Message, SnippetPart
from services.sessions.words import Span

AROUND = 80
"""Characters of context on either side of what was found, about."""
LONGEST_SNIPPET = 320
_ENCODED = 256
"""A string of so many characters without a space is an encoded file, not a text."""


def text_of(message: Message) -> str:
    """Its text, and the words in its parts, tool calls and results, one per line."""
    return "\n".join(_texts(message))


def snippet(text: str, spans: Sequence[Span]) -> list[SnippetPart]:
    """A piece of the text around the first span, cut at spaces where there are some, with every span in it marked."""
    spans = sorted(spans)
    first = spans[0]
    begin, end = max(0, first[0] - AROUND), min(len(text), max(first[0], first[1] - 1) + AROUND)
    end = min(end, begin + LONGEST_SNIPPET)
    begin, end = _at_space_after(text, begin, first[0]), _at_space_before(text, end, min(first[1], end))
    parts = [SnippetPart(text="…")] if begin > 0 else []
    at = begin
    for start, stop in spans:
        start, stop = max(start, at), min(stop, end)
        if start >= stop:
            continue
        if start > at:
            parts.append(SnippetPart(text=text[at:start]))
        parts.append(SnippetPart(text=text[start:stop], match=True))
        at = stop
    if at < end:
        parts.append(SnippetPart(text=text[at:end]))
    return [*parts, SnippetPart(text="…")] if end < len(text) else parts


def _texts(message: Message) -> Iterator[str]:
    if isinstance(message.content, str):
        yield message.content
    else:
        for part in message.content:
            yield from _strings({key: value for key, value in part.items() if key != "type"})
    for call in message.tool_calls:
        yield call.name
        yield from _strings(call.arguments)
    for result in message.tool_results:
        yield result.name
        yield from _strings(result.result)
        if result.error:
            yield result.error


def _strings(value: Any) -> Iterator[str]:
    """Texts and numbers, however deep, but not the names of fields."""
    if isinstance(value, str):
        if len(value) < _ENCODED or any(character.isspace() for character in value):
            yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _at_space_after(text: str, begin: int, limit: int) -> int:
    if begin == 0:
        return 0
    space = text.find(" ", begin, limit)
    return begin if space < 0 else space + 1


def _at_space_before(text: str, end: int, limit: int) -> int:
    if end == len(text):
        return end
    space = text.rfind(" ", limit, end)
    return end if space < 0 else space
