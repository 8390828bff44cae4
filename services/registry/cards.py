"""What is indexed of an agent, and how its card is read into terms and phrases. Knows no other agent and no query."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from services.registry.concepts import concepts, main_senses, stems
from services.registry.text import MAX_CHARS, split_identifier

MAX_TEXTS = 500  # texts of one kind in one card (examples, tags …) that are read
MAX_PHRASES = 64  # examples and sentences that are compared one by one; all texts count as words

# BM25's constants. The pivot, in weighted words, is fixed rather than the catalogue's mean: so an agent's figures
# depend on its own card alone, adding one costs the same among ten and ten thousand, and order does not matter.
_K1, _B, _PIVOT = 1.2, 0.6, 60.0
_NAME, _TEXT, _DOMAIN = 2.0, 1.0, 0.5  # what one occurrence counts, by field
_SENTENCE = re.compile(r"[.!?;\n]+")


@dataclass(frozen=True)
class Card:
    """One agent as the index sees it."""

    name: str
    description: str = ""
    skills: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()  # utterances that the agent is for


EDGE = ""  # stands before and behind a text, so that "begins with how" can match


@dataclass(slots=True)
class Entry:
    """A card as terms and texts: all that a search asks of one agent is one look into a dict."""

    name: str
    terms: tuple[str, ...]  # every stem and concept under which the agent is found
    texts: dict[str, tuple[int, ...]]  # sense → the numbers of the texts in which it stands; labels come first
    pairs: dict[str, float]  # `pair` of two neighbouring senses → what their being neighbours says, saturated
    labels: int  # how many of the texts are labels: name, skills, tags; the rest are examples and sentences
    count: int  # of the texts
    slot: int = -1  # its number in the postings
    norms: tuple[float, ...] = ()  # length of each text in idf, as of `weighed`
    weighed: int = -1  # version of the postings that `norms` were made with


def read(card: Card) -> tuple[Entry, dict[str, float]]:
    """The entry, and its terms' impacts: saturated, length-normalised frequencies, 0 to 2.2."""
    labels = [split_identifier(card.name)]
    labels += [split_identifier(text) for text in (*card.skills[:MAX_TEXTS], *card.tags[:MAX_TEXTS])]
    counts: Counter[str] = Counter()
    label_stems = [_count(text, _TEXT if i else _NAME, counts) for i, text in enumerate(labels)]
    texts = [_count(text, _TEXT, counts) for text in card.examples[:MAX_TEXTS]]
    texts += [_count(text, _TEXT, counts) for text in _SENTENCE.split(card.description[:MAX_CHARS])]
    for text in card.domains[:MAX_TEXTS]:
        _count(split_identifier(text), _DOMAIN, counts)

    impacts = _impacts(counts)
    named, said = _senses(label_stems), _senses(texts)
    phrases = named + said
    return Entry(card.name, tuple(impacts), _texts(phrases), _pairs(phrases), len(named), len(phrases)), impacts


def pair(first: str, second: str) -> str:
    """Two neighbours as one key: no sense holds a space."""
    return f"{first} {second}"


def saturate(count: float, length: float) -> float:
    """BM25's part that does not depend on other agents."""
    return count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * length / _PIVOT))


def _count(text: str, weight: float, counts: Counter[str]) -> list[str]:
    found = stems(text)
    for word in found:
        counts[word] += weight  # type: ignore[assignment]  # typeshed has whole counts only; ours are weighted
    return found


def _impacts(words: Counter[str]) -> dict[str, float]:
    senses: Counter[str] = Counter()
    for word, count in words.items():
        for concept in concepts(word):
            senses[concept] += count
    length = sum(words.values())
    return {term: saturate(count, length) for counts in (words, senses) for term, count in sorted(counts.items())}


def _senses(texts: Iterable[list[str]]) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(main_senses(text) for text in texts if text))[:MAX_PHRASES]


def _texts(phrases: list[tuple[str, ...]]) -> dict[str, tuple[int, ...]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for number, phrase in enumerate(phrases):
        for sense in dict.fromkeys(phrase):
            found[sense].append(number)
    return {sense: tuple(numbers) for sense, numbers in found.items()}


def _pairs(phrases: list[tuple[str, ...]]) -> dict[str, float]:
    counts = Counter(pair(*each) for phrase in phrases for each in pairwise((EDGE, *phrase, EDGE)))
    length = 1 + sum(len(phrase) + 1 for phrase in phrases)
    known = {count: saturate(count, length) for count in set(counts.values())}
    return {both: known[count] for both, count in counts.items()}
