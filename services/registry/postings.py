"""An inverted index from terms to agents (numbered slots), which also knows its own vocabulary's spelling.

Pure memory, one thread. Adding and removing touch only the terms concerned.
"""

import math
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain

from services.registry.concepts import FUNCTION_TERMS
from services.registry.text import grams

# A prior of virtual agents, in most of which every function word stands: so that in a catalogue of two agents
# "what is" proves nothing, and a word that names one of them proves nearly as much as among a thousand.
PRIOR_AGENTS = 50
PRIOR_FUNCTION = 25

SIMILAR_LEAST = 0.45  # cosine over character grams under which two words are strangers
SIMILAR_MOST = 6  # neighbours kept for one word
SIMILAR_LENGTH = 4  # characters; shorter words are too easily alike
_REMEMBERED = 4_096  # words whose neighbours are kept until the vocabulary changes


class _Posting:
    """The agents in which one term stands, by rising slot, and how much it says about each."""

    __slots__ = ("impacts", "slots")

    def __init__(self) -> None:
        self.slots = array("I")
        self.impacts = array("f")


class Postings:
    def __init__(self) -> None:
        self._terms: dict[str, _Posting] = {}
        self._spelt: defaultdict[str, set[str]] = defaultdict(set)  # gram → words of the vocabulary
        self._similar: dict[str, tuple[tuple[str, float], ...]] = {}
        self._idf: dict[str, float] = {}
        self._agents = 0
        self.version = 0  # changes whenever an idf may have changed

    def add(self, slot: int, impacts: Iterable[tuple[str, float]]) -> None:
        """Index one agent under a slot that is free."""
        self._insert(slot, impacts)
        self._changed(+1)

    def _insert(self, slot: int, impacts: Iterable[tuple[str, float]]) -> None:
        for term, impact in impacts:
            posting = self._terms.get(term)
            if posting is None:
                posting = self._terms[term] = _Posting()
                self._learn(term)
            at = bisect_left(posting.slots, slot)
            posting.slots.insert(at, slot)
            posting.impacts.insert(at, impact)

    def replace(self, slot: int, terms: Iterable[str], impacts: Mapping[str, float]) -> None:
        """Index an agent anew that stands there with `terms`: what it still says stays where it is."""
        gone = [term for term in terms if term not in impacts]
        kept = set(terms).difference(gone)
        self._drop(slot, gone)
        for term in kept:
            posting = self._terms[term]
            posting.impacts[bisect_left(posting.slots, slot)] = impacts[term]
        if gone or len(kept) < len(impacts):
            self._insert(slot, [(term, impact) for term, impact in impacts.items() if term not in kept])
            self._changed(0)

    def remove(self, slot: int, terms: Iterable[str]) -> None:
        """Forget an agent; `terms` are those it was added with."""
        self._drop(slot, terms)
        self._changed(-1)

    def _drop(self, slot: int, terms: Iterable[str]) -> None:
        for term in terms:
            posting = self._terms[term]
            at = bisect_left(posting.slots, slot)
            posting.slots.pop(at)
            posting.impacts.pop(at)
            if not posting.slots:
                del self._terms[term]
                self._unlearn(term)

    def __contains__(self, term: str) -> bool:
        return term in self._terms

    def frequency(self, term: str) -> int:
        posting = self._terms.get(term)
        return len(posting.slots) if posting else 0

    def idf(self, term: str) -> float:
        """How rare a term is among agents: 0 (in all) to 1 (in none), on one scale for every catalogue size."""
        known = self._idf.get(term)
        if known is None:
            frequency = self.frequency(term) + (PRIOR_FUNCTION if term in FUNCTION_TERMS else 0)
            total = self._agents + PRIOR_AGENTS
            rarity = math.log(1 + (total - frequency + 0.5) / (frequency + 0.5))
            known = self._idf[term] = rarity / math.log(1 + (total + 0.5) / 0.5)
        return known

    def collect(self, weights: Iterable[tuple[str, float]], into: list[float], budget: int) -> None:
        """Add weight × impact of each term to its agents' totals; stops before the term that exceeds the budget.

        Hand the terms in by falling weight: what a spent budget leaves out then says least.
        """
        for term, weight in weights:
            posting = self._terms.get(term)
            if posting is None:
                continue
            budget -= len(posting.slots)
            if budget < 0:
                return
            for slot, impact in zip(posting.slots, posting.impacts, strict=True):
                into[slot] += weight * impact

    def similar(self, word: str) -> tuple[tuple[str, float], ...]:
        """Other words of the vocabulary spelt much like this one, nearest first, each with its likeness."""
        if len(word) < SIMILAR_LENGTH:
            return ()
        known = self._similar.get(word)
        if known is None:
            if len(self._similar) >= _REMEMBERED:
                self._similar.clear()
            known = self._similar[word] = self._neighbours(word)
        return known

    def _changed(self, agents: int) -> None:
        self._agents += agents
        self.version += 1
        self._idf.clear()

    def _neighbours(self, word: str) -> tuple[tuple[str, float], ...]:
        own = grams(word)
        shared = Counter(chain.from_iterable(self._spelt.get(gram, ()) for gram in own))
        alike = [
            (other, likeness)
            for other, count in shared.items()
            if other != word and (likeness := count / math.sqrt(len(own) * _gram_count(other))) >= SIMILAR_LEAST
        ]
        return tuple(sorted(alike, key=lambda found: (-found[1], found[0]))[:SIMILAR_MOST])

    def _learn(self, term: str) -> None:
        if _is_spelt(term):
            for gram in grams(term):
                self._spelt[gram].add(term)
            self._similar.clear()

    def _unlearn(self, term: str) -> None:
        if _is_spelt(term):
            for gram in grams(term):
                self._spelt[gram].discard(term)
                if not self._spelt[gram]:
                    del self._spelt[gram]
            self._similar.clear()


def _is_spelt(term: str) -> bool:
    return len(term) >= SIMILAR_LENGTH and not term.startswith("~")


def _gram_count(word: str) -> int:
    # Distinct grams, nearly always: 3-grams and 4-grams of the word with two edge marks.
    return 2 * len(word) - 1
