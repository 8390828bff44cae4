"""Texts into chunks: along headings, paragraphs and sentences, some 200 tokens each. Deterministic; knows no store."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

TARGET_WORDS = 150
"""Some 200 tokens of English."""
TARGET_CHARACTERS = 1_200
"""Bounds a chunk of a language without spaces, or of one endless word."""
OVERLAP_WORDS = 25
"""Of a chunk's end that are said again at the next one's beginning, in whole sentences, inside one section."""

_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```|~~~)")
_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+|(?<=[。！？])")


@dataclass(frozen=True, slots=True)
class Chunk:
    text: str
    headings: tuple[str, ...] = ()
    """From the document's to the innermost."""


def chunks(text: str, *, markdown: bool = False) -> list[Chunk]:
    """In order; none is empty, and every word of the text is in one."""
    return [Chunk(part, headings) for headings, section in _sections(text, markdown) for part in _parts(section)]


def _sections(text: str, markdown: bool) -> Iterator[tuple[tuple[str, ...], str]]:
    headings: list[tuple[int, str]] = []
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= bool(markdown and _FENCE.match(line))
        heading = _HEADING.match(line) if markdown and not fenced else None
        if heading is None:
            lines.append(line)
            continue
        # A heading with nothing below it is still said somewhere: in the path of what follows, or as a chunk.
        yield tuple(title for _, title in headings), "\n".join(lines)
        level = len(heading[1])
        headings = [each for each in headings if each[0] < level] + [(level, heading[2][:300])]
        lines = [heading[2]]
    yield tuple(title for _, title in headings), "\n".join(lines)


def _parts(section: str) -> Iterator[str]:
    pieces = [piece for paragraph in re.split(r"\n\s*\n", section) for piece in _pieces(paragraph)]
    part: list[str] = []
    fresh = False
    for piece in pieces:
        if fresh and _size("\n".join([*part, piece])) > 1:
            yield "\n".join(part)
            part, fresh = _tail(part, piece), False
        part.append(piece)
        fresh = True
    if fresh:
        yield "\n".join(part)


def _pieces(paragraph: str) -> Iterator[str]:
    """A paragraph when it fits into a chunk, else its sentences, else runs of words, else of characters."""
    paragraph = paragraph.strip()
    if not paragraph:
        return
    if _size(paragraph) <= 1:
        yield paragraph
        return
    for sentence in filter(None, map(str.strip, _SENTENCE.split(paragraph))):
        if _size(sentence) <= 1:
            yield sentence
            continue
        words: list[str] = []
        for word in (run for written in sentence.split() for run in _runs(written)):
            if words and _size(" ".join([*words[-TARGET_WORDS:], word])) > 1:
                yield " ".join(words)
                words = []
            words.append(word)
        if words:
            yield " ".join(words)


def _runs(word: str) -> Iterator[str]:
    for begin in range(0, len(word), TARGET_CHARACTERS):
        yield word[begin : begin + TARGET_CHARACTERS]


def _tail(part: list[str], coming: str) -> list[str]:
    """The last whole pieces or sentences that are short enough to be said again before what comes."""
    sentences = list(filter(None, _SENTENCE.split(part[-1])))
    tail = sentences[-1] if sentences else ""
    if (
        0 < len(tail.split()) <= OVERLAP_WORDS
        and len(tail) < TARGET_CHARACTERS // 4
        and _size(f"{tail}\n{coming}") <= 1
    ):
        return [tail]
    return []


def _size(text: str) -> float:
    """Over 1 it does not fit into a chunk."""
    return max(len(text.split()) / TARGET_WORDS, len(text) / TARGET_CHARACTERS)
