"""Stage one of routing: which agents could answer an utterance. A library in memory: no HTTP, no store, no event loop.

Two steps. Word postings shortlist some thirty agents at a cost that a budget bounds; these are then judged exactly,
by their best example, their labels and their word order, and the result is turned into probabilities.
"""

import heapq
import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from services.registry.cards import EDGE, Card, Entry, read, saturate
from services.registry.concepts import FUNCTION_STEMS, concepts, main_senses
from services.registry.postings import Postings
from services.registry.ranking import CALIBRATION, WEIGHTS, Calibration, Grounds, Weights, shares
from services.registry.text import stem, words

__all__ = ["AgentIndex", "Card", "Hit", "Neighbours"]

SHORTLIST = 32  # agents judged exactly, at most (more when more hits are wanted)
REACH = 0.25  # … of those whose words say at least this part of what the best one's say: others do not catch up
BUDGET = 60_000  # postings visited by one search
QUERY_WORDS = 64  # words of a query that count

Allowed = Callable[[str], bool] | Container[str]


@dataclass(frozen=True)
class Hit:
    name: str
    score: float  # estimate of P(this agent is right | utterance), 0..1
    lexical: float  # the evidence of words, in log-odds, 0 or more
    semantic: float | None  # cosine to the nearest of the agent's vectors; None when there is none
    matched: tuple[str, ...]  # the query's words that the agent knows, best first


class Neighbours(Protocol):
    """Where the agents' embeddings are, if there are any; whoever owns the index keeps it in step."""

    def cosines(self, vector: Sequence[float]) -> Mapping[str, float]:
        """Every agent that has vectors → cosine of its nearest one."""


@dataclass(frozen=True)
class _Query:
    surface: dict[str, str]  # stem → the word as it was written, in order
    pairs: frozenset[tuple[str, str]]  # neighbouring main senses, edges included
    squares: dict[str, float]  # main sense → idf²
    norm: float


@dataclass(frozen=True)
class _Judged:
    entry: Entry
    lexical: float
    semantic: float | None
    strength: float


class AgentIndex:
    """Agents by what they can do. Not thread-safe: one owner puts, removes and searches."""

    def __init__(
        self,
        neighbours: Neighbours | None = None,
        weights: Weights = WEIGHTS,
        calibration: Calibration = CALIBRATION,
    ) -> None:
        self._postings = Postings()
        self._entries: dict[str, Entry] = {}
        self._slots: list[Entry | None] = []
        self._free: list[int] = []
        self._neighbours = neighbours
        self._weights = weights
        self._calibration = calibration

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def put(self, card: Card) -> None:
        """Add one agent or replace it; touches its own terms alone, so the catalogue's size hardly matters."""
        entry, impacts = read(card)
        self.remove(card.name)
        if self._free:
            entry.slot = self._free.pop()
            self._slots[entry.slot] = entry
        else:
            entry.slot = len(self._slots)
            self._slots.append(entry)
        self._entries[entry.name] = entry
        self._postings.add(entry.slot, impacts.items())

    def remove(self, name: str) -> None:
        """Forget an agent; one that is not there is no error."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._postings.remove(entry.slot, entry.terms)
            self._slots[entry.slot] = None
            self._free.append(entry.slot)

    def search(
        self,
        query: str,
        k: int = 5,
        allowed: Allowed | None = None,
        vector: Sequence[float] | None = None,
    ) -> list[Hit]:
        """The k likeliest agents, best first; equal ones by name. None for a query without a known word.

        `allowed` says which agents may be chosen at all. `vector` is the query's embedding, of the same model as
        those of `neighbours`; without either only words count.
        """
        if k < 1:
            return []
        asked = self._read(query)
        judged = self._rank(asked, k, allowed, vector)
        if not judged:
            return []
        portions = self._portions(judged)
        sure = self._grounds(asked, judged[0], portions[0]).probability(self._calibration)
        # What the best leaves, the others share as the softmax has it; never more than is left, nor than the best.
        rest = min(sure / portions[0], (1 - sure) / (1 - portions[0])) if portions[0] < 1 else 0.0
        return [
            Hit(
                name=one.entry.name,
                score=sure if one is judged[0] else rest * portion,
                lexical=one.lexical,
                semantic=one.semantic,
                matched=self._matched(asked, one.entry),
            )
            for one, portion in zip(judged[:k], portions, strict=False)
        ]

    def grounds(self, query: str, vector: Sequence[float] | None = None) -> Grounds | None:
        """What the first hit's score would rest on; None when there would be no hit."""
        asked = self._read(query)
        judged = self._rank(asked, 1, None, vector)
        return self._grounds(asked, judged[0], self._portions(judged)[0]) if judged else None

    def _portions(self, judged: list[_Judged]) -> list[float]:
        return shares([one.strength for one in judged], self._calibration.nobody)

    def _grounds(self, asked: _Query, best: _Judged, share: float) -> Grounds:
        return Grounds(best.entry.name, share, best.strength, self._coverage(asked, best.entry))

    def _read(self, query: str) -> _Query:
        spoken = words(query)[:QUERY_WORDS]
        stemmed = [stem(word) for word in spoken]
        surface: dict[str, str] = {}
        for root, word in zip(stemmed, spoken, strict=True):
            surface.setdefault(root, word)
        phrase = main_senses(stemmed)
        squares = {term: self._postings.idf(term) ** 2 for term in phrase}
        return _Query(
            surface=surface,
            pairs=frozenset(pairwise((EDGE, *phrase, EDGE))),
            squares=squares,
            norm=math.sqrt(sum(squares.values())),
        )

    def _terms(self, asked: _Query) -> list[tuple[str, float]]:
        """The query's stems, their concepts and their neighbours in spelling, by falling weight."""
        idf, weights = self._postings.idf, self._weights
        found = {root: weights.word * idf(root) for root in asked.surface}
        for root in asked.surface:
            for concept in concepts(root):
                found.setdefault(concept, weights.concept * idf(concept))
        for root in asked.surface:
            for other, likeness in self._postings.similar(root):
                found.setdefault(other, weights.similar * likeness * idf(other))
        return sorted(found.items(), key=lambda term: (-term[1], term[0]))

    def _rank(self, asked: _Query, k: int, allowed: Allowed | None, vector: Sequence[float] | None) -> list[_Judged]:
        """The shortlist, best first, equal ones by name."""
        may = allowed if callable(allowed) or allowed is None else allowed.__contains__
        evidence = self._evidence(asked)
        cosines = self._neighbours.cosines(vector) if self._neighbours and vector is not None else {}
        chosen = self._shortlist({slot: amount for slot, amount in enumerate(evidence) if amount > 0}, k, may)
        if cosines:
            slots = {entry.slot: cosines[name] for name, entry in self._entries.items() if name in cosines}
            chosen |= self._shortlist(slots, k, may)
        judged = self._judge(asked, [(entry, evidence[entry.slot]) for entry in chosen.values()], cosines)
        judged.sort(key=lambda one: (-one.strength, one.entry.name))
        return judged

    def _evidence(self, asked: _Query) -> list[float]:
        """What the words alone say, by slot; 0 for most."""
        evidence = [0.0] * len(self._slots)
        self._postings.collect(self._terms(asked), evidence, BUDGET)
        return evidence

    def _shortlist(self, amounts: Mapping[int, float], k: int, may: Callable[[str], bool] | None) -> dict[int, Entry]:
        """The agents with the largest amounts; at the edge the first by name: order of arrival means nothing."""
        held = {slot: entry for slot in amounts if (entry := self._slots[slot]) and (not may or may(entry.name))}
        most = max(SHORTLIST, k)
        if len(held) <= k:
            return held
        largest = heapq.nlargest(most, map(amounts.__getitem__, held))
        edge = min(largest[k - 1], max(largest[-1], REACH * largest[0]))
        above = [slot for slot in held if amounts[slot] > edge]
        level = sorted((held[slot].name, slot) for slot in held if amounts[slot] == edge)
        return {slot: held[slot] for slot in (*above, *(slot for _, slot in level[: most - len(above)]))}

    def _judge(
        self, asked: _Query, shortlist: list[tuple[Entry, float]], cosines: Mapping[str, float]
    ) -> list[_Judged]:
        known = [cosines[entry.name] for entry, _ in shortlist if entry.name in cosines]
        usual = sum(known) / len(known) if known else 0.0  # an agent without vectors is neither helped nor harmed
        judged = []
        for entry, evidence in shortlist:
            lexical = evidence + self._closeness(asked, entry)
            semantic = cosines.get(entry.name)
            meant = self._weights.semantic * (usual if semantic is None else semantic)
            judged.append(_Judged(entry, lexical, semantic, lexical + meant))
        return judged

    def _closeness(self, asked: _Query, entry: Entry) -> float:
        """What single texts of an agent add: the best example, the best label, words in the same order."""
        if entry.weighed != self._postings.version:
            self._weigh(entry)
        cosines = _cosines(asked, entry)
        return (
            self._weights.label * max(cosines[: entry.labels], default=0.0)
            + self._weights.example * max(cosines[entry.labels :], default=0.0)
            + self._weights.adjacent * _adjacency(asked, entry)
        )

    def _weigh(self, entry: Entry) -> None:
        squares = [0.0] * (entry.text_at[-1] + 1)
        for sense, places in entry.places.items():
            if sense != EDGE:
                square = self._postings.idf(sense) ** 2
                for text in {entry.text_at[place] for place in places}:
                    squares[text] += square
        entry.norms = tuple(map(math.sqrt, squares))
        entry.weighed = self._postings.version

    def _known(self, asked: _Query, entry: Entry) -> dict[str, float]:
        """The query's stems that an agent knows → how well, up to 1: itself, as a synonym, or spelt alike."""
        known, terms = {}, frozenset(entry.terms)
        for root in asked.surface:
            if root in terms or not terms.isdisjoint(concepts(root)):
                known[root] = 1.0
                continue
            for other, likeness in self._postings.similar(root):  # nearest first
                if other in terms:
                    known[root] = likeness
                    break
        return known

    def _coverage(self, asked: _Query, entry: Entry) -> float:
        """The part of the query that an agent knows, each word by its idf; a word nobody knows weighs most."""
        idf = self._postings.idf
        total = sum(idf(root) for root in asked.surface)
        return sum(idf(root) * how for root, how in self._known(asked, entry).items()) / total if total else 0.0

    def _matched(self, asked: _Query, entry: Entry) -> tuple[str, ...]:
        known = self._known(asked, entry)
        telling = [root for root in known if root not in FUNCTION_STEMS] or list(known)
        telling.sort(key=lambda root: -known[root] * self._postings.idf(root))  # stable: else as they were said
        return tuple(asked.surface[root] for root in telling)


def _cosines(asked: _Query, entry: Entry) -> list[float]:
    """The query against each text of an agent."""
    shared = [0.0] * len(entry.norms)
    for sense, square in asked.squares.items():
        last = -1
        for place in entry.places.get(sense, ()):
            text = entry.text_at[place]
            if text != last:  # a word counts once in each text
                shared[text] += square
                last = text
    return [
        product / (norm * asked.norm) if product else 0.0 for product, norm in zip(shared, entry.norms, strict=True)
    ]


def _adjacency(asked: _Query, entry: Entry) -> float:
    """Neighbouring words of the query that are neighbours in the agent's texts too, saturated like any term."""
    total = 0.0
    for first, second in asked.pairs:
        before = entry.places.get(first)
        if before is not None and (after := entry.places.get(second)) is not None:
            count = sum([place + 1 in after for place in before])
            if count:
                total += saturate(count, len(entry.text_at))
    return total
