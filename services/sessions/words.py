"""Words of a text, the same for every store: what is indexed, what a query looks for. No I/O, no database's dialect.

A word is a run of letters and digits, without case and accents. Scripts that put no space between words (Chinese,
Japanese, Thai …) give a word for each character, and a query of several means them side by side.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kit.errors import Invalid

LONGEST_WORD = 64
"""Characters. What is longer is data (a digest, an encoded file), not a word, and is not found."""
MAX_WORDS = 20_000
"""Different words of one message that are indexed, in the order in which they come."""
MAX_QUERY_WORDS = 32

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W_{_UNSPACED}]+")
_PIECE = re.compile(r'"([^"]*)"|([^\s"]+)')

Span = tuple[int, int]
Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """What a text must hold: every phrase; a phrase's words follow each other."""

    phrases: tuple[Phrase, ...]

    @property
    def words(self) -> list[str]:
        """Each once, in order."""
        return list(dict.fromkeys(word for phrase in self.phrases for word in phrase))


def parse(text: str) -> Query:
    """Ordinary words and "quoted phrases", all of which must be there. Nothing else means anything: no operators.

    What is written together is looked for together: `foo-bar` is a phrase of two. Raises Invalid when there is no word
    in it, or more than MAX_QUERY_WORDS.
    """
    pieces = (quoted or plain for quoted, plain in _PIECE.findall(text))
    phrases = tuple(dict.fromkeys(phrase for piece in pieces if (phrase := tuple(_words(_folded(piece))))))
    if not phrases:
        raise Invalid("q: there is no word in it to look for", code="query_without_words")
    if sum(map(len, phrases)) > MAX_QUERY_WORDS:
        raise Invalid(f"q: more than {MAX_QUERY_WORDS} words", code="query_too_long")
    return Query(phrases)


def distinct_words(text: str) -> list[str]:
    """What is indexed of a text: each word once, at most MAX_WORDS."""
    return list(dict.fromkeys(_words(_folded(text))))[:MAX_WORDS]


def find(query: Query, text: str) -> list[list[Span]] | None:
    """Where each phrase stands in the text, as [begin, end) in characters; None unless all of them do."""
    folded, origins = _folded_with_origins(text)
    found = [match for match in _WORD.finditer(folded) if len(match.group()) <= LONGEST_WORD]
    words = [match.group() for match in found]
    places: dict[str, list[int]] = {word: [] for phrase in query.phrases for word in phrase[:1]}
    for number, word in enumerate(words):
        if word in places:
            places[word].append(number)
    spans = []
    for phrase in query.phrases:
        begins = [at for at in places[phrase[0]] if tuple(words[at : at + len(phrase)]) == phrase]
        if not begins:
            return None
        ends = [at + len(phrase) - 1 for at in begins]
        spans.append(
            [
                (origins[found[first].start()], origins[found[last].end() - 1] + 1)
                for first, last in zip(begins, ends, strict=True)
            ]
        )
    return spans


def score(spans: Sequence[Sequence[Span]], length: int) -> float:
    """Between 0 and 1: more occurrences in a shorter text are more (BM25's saturation; every word weighs the same)."""
    heaviness = 0.3 + 0.9 * length / 600
    return round(sum(len(each) / (len(each) + heaviness) for each in spans) / len(spans), 4)


def _words(folded: str) -> Iterator[str]:
    return (word for word in _WORD.findall(folded) if len(word) <= LONGEST_WORD)


class _Folds(dict[int, str]):
    """Of a character: its lower case without accents. Made when first asked for."""

    def __missing__(self, code: int) -> str:
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", chr(code)).casefold())
        plain = "".join(each for each in folded if not unicodedata.category(each).startswith("M"))
        self[code] = plain
        return plain


_FOLDS = _Folds()


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else text.translate(_FOLDS)


def _folded_with_origins(text: str) -> tuple[str, Sequence[int]]:
    """The folded text, and for each of its characters which one of the text it comes from."""
    if text.isascii():
        return text.lower(), range(len(text))
    parts = [_FOLDS[ord(character)] for character in text]
    return "".join(parts), [at for at, part in enumerate(parts) for _ in part]
