"""Stage one of routing: which agents could answer an utterance. A library in memory: no HTTP, no store, no event loop.

Two steps. Word postings shortlist some agents at a cost that a budget bounds; these are then judged exactly,
by their best example, their labels and their word order, and the result is turned into probabilities.
"""

import heapq
import math
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import truediv
from typing import NamedTuple

from services.registry.cards import EDGE, Card, Entry, pair, read
from services.registry.concepts import FUNCTION_STEMS, concepts, main_senses
from services.registry.meaning import Meaning
from services.registry.postings import Postings
from services.registry.ranking import WORDS, Grounds, Tuning, Weights, shares
from services.registry.text import stem, words

__all__ = ["AgentIndex", "Card", "Hit", "Meaning"]

SHORTLIST = 16  # agents judged exactly, at most (more when more hits are wanted); 32 found hardly more, for more time
REACH = 0.25  # … of those whose words say at least this part of what the best one's say: others do not catch up
BUDGET = 60_000  # postings visited by one search
QUERY_WORDS = 64  # words of a query that count
CONTENDERS = 3  # with the most words; meaning has a say where all of these have embeddings

Allowed = Callable[[str], bool] | Container[str]


@dataclass(frozen=True)
class Hit:
    name: str
    score: float  # estimate of P(this agent is right | utterance), 0..1
    lexical: float  # the evidence of words, in log-odds, 0 or more
    semantic: float | None  # cosine to the nearest of the agent's texts; None where it had no part in the score
    matched: tuple[str, ...]  # the query's words that the agent knows, best first


@dataclass(frozen=True)
class _Query:
    surface: dict[str, str]  # stem → the word as it was written, in order
    ways: list[tuple[str, float, tuple[str, ...], tuple[tuple[str, float], ...]]]  # stem, idf, concepts, spelt alike
    pairs: frozenset[str]  # neighbouring main senses, edges included
    squares: list[tuple[str, float]]  # main sense, once each, and idf²
    norm: float


class _Judged(NamedTuple):  # many for every search: a dataclass that is frozen takes three times as long to make
    entry: Entry
    lexical: float
    nearest: float | None
    strength: float


@dataclass(frozen=True)
class _Ranking:
    judged: list[_Judged]  # best first, equal ones by name
    tuning: Tuning


class AgentIndex:
    """Agents by what they can do. Not thread-safe: one owner puts, removes and searches."""

    def __init__(self, words: Tuning = WORDS) -> None:
        """`words` is for searches in which words alone decide."""
        self._postings = Postings()
        self._entries: dict[str, Entry] = {}
        self._slots: list[Entry | None] = []
        self._free: list[int] = []
        self._words = words

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def put(self, card: Card) -> None:
        """Add one agent or replace it; touches its own terms alone, so the catalogue's size hardly matters."""
        entry, impacts = read(card)
        before = self._entries.get(card.name)
        if before is not None:
            entry.slot = before.slot
            self._entries[entry.name] = self._slots[entry.slot] = entry
            self._postings.replace(entry.slot, before.terms, impacts)
            return
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
        self, query: str, k: int = 5, allowed: Allowed | None = None, meaning: Meaning | None = None
    ) -> list[Hit]:
        """The k likeliest agents, best first; equal ones by name. Without `meaning`, none for a query without a known
        word. `allowed` says which agents may be chosen at all.
        """
        if k < 1:
            return []
        asked = self._read(query)
        ranking = self._rank(asked, k, allowed, meaning)
        judged, calibration = ranking.judged, ranking.tuning.calibration
        if not judged:
            return []
        portions = _portions(ranking)
        sure = self._grounds(asked, judged[0], portions[0]).probability(calibration)
        # What the best leaves, the others share as the softmax has it; never more than is left, nor than the best.
        rest = min(sure / portions[0], (1 - sure) / (1 - portions[0])) if portions[0] < 1 else 0.0
        return [
            Hit(
                name=one.entry.name,
                score=sure if one is judged[0] else rest * portion,
                lexical=one.lexical,
                semantic=one.nearest,
                matched=self._matched(asked, one.entry),
            )
            for one, portion in zip(judged[:k], portions, strict=False)
        ]

    def grounds(self, query: str, meaning: Meaning | None = None) -> Grounds | None:
        """What the first hit's score would rest on; None when there would be no hit."""
        asked = self._read(query)
        ranking = self._rank(asked, 1, None, meaning)
        return self._grounds(asked, ranking.judged[0], _portions(ranking)[0]) if ranking.judged else None

    def _grounds(self, asked: _Query, best: _Judged, share: float) -> Grounds:
        return Grounds(best.entry.name, share, best.strength, self._coverage(asked, best.entry), best.nearest or 0.0)

    def _read(self, query: str) -> _Query:
        spoken = words(query)[:QUERY_WORDS]
        stemmed = [stem(word) for word in spoken]
        surface: dict[str, str] = {}
        for root, word in zip(stemmed, spoken, strict=True):
            surface.setdefault(root, word)
        phrase = main_senses(stemmed)
        idf = self._postings.idf
        squares = {term: idf(term) ** 2 for term in phrase}
        return _Query(
            surface=surface,
            ways=[(root, idf(root), concepts(root), self._postings.similar(root)) for root in surface],
            pairs=frozenset(pair(*each) for each in pairwise((EDGE, *phrase, EDGE))),
            squares=list(squares.items()),
            norm=math.sqrt(sum(squares.values())) or 1.0,
        )

    def _terms(self, asked: _Query, weights: Weights) -> list[tuple[str, float]]:
        """The query's stems, their concepts and their neighbours in spelling; by falling weight if a budget may end."""
        idf = self._postings.idf
        found = {root: weights.word * rarity for root, rarity, _, _ in asked.ways}
        for _, _, senses, _ in asked.ways:
            for concept in senses:
                found.setdefault(concept, weights.concept * idf(concept))
        for _, _, _, alike in asked.ways:
            for other, likeness in alike:
                found.setdefault(other, weights.similar * likeness * idf(other))
        if len(found) * len(self._entries) <= BUDGET:
            return list(found.items())
        return sorted(found.items(), key=lambda term: (-term[1], term[0]))

    def _rank(self, asked: _Query, k: int, allowed: Allowed | None, meaning: Meaning | None) -> _Ranking:
        may = allowed if callable(allowed) or allowed is None else allowed.__contains__
        tuning = meaning.tuning if meaning else self._words
        evidence = self._evidence(asked, tuning.weights)
        chosen = self._shortlist({slot: amount for slot, amount in enumerate(evidence) if amount > 0}, k, may)
        if meaning and not meaning.knows_all(entry.name for entry in _contenders(chosen.values(), evidence)):
            # One of the likeliest waits for its embeddings. Only words compare it with the others fairly.
            return self._rank(asked, k, allowed, None)
        if meaning:
            chosen |= self._nearest(meaning, k, may)
        entries = list(chosen.values())
        lexical = [self._lexical(asked, entry, evidence[entry.slot], tuning.weights) for entry in entries]
        if meaning:
            said = meaning.evidence([entry.name for entry in entries])
            judged = [
                _Judged(entry, amount, nearest, amount + more)
                for entry, amount, (more, nearest) in zip(entries, lexical, said, strict=True)
            ]
        else:
            judged = [_Judged(entry, amount, None, amount) for entry, amount in zip(entries, lexical, strict=True)]
        judged.sort(key=lambda one: (-one.strength, one.entry.name))
        return _Ranking(judged, tuning)

    def _evidence(self, asked: _Query, weights: Weights) -> list[float]:
        """What the words alone say, by slot; 0 for most."""
        evidence = [0.0] * len(self._slots)
        self._postings.collect(self._terms(asked, weights), evidence, BUDGET)
        return evidence

    def _nearest(self, meaning: Meaning, k: int, may: Callable[[str], bool] | None) -> dict[int, Entry]:
        """The agents nearest in meaning; at the edge the first by name."""
        most = max(SHORTLIST, k)
        found: list[tuple[float, str]] = []
        for name, amount in meaning.best_first():
            if len(found) >= most and -amount > found[-1][0]:
                break
            if name in self._entries and (not may or may(name)):
                found.append((-amount, name))
        return {self._entries[name].slot: self._entries[name] for _, name in sorted(found)[:most]}

    def _shortlist(self, amounts: Mapping[int, float], k: int, may: Callable[[str], bool] | None) -> dict[int, Entry]:
        """The agents with the largest amounts; at the edge the first by name: order of arrival means nothing."""
        held = {slot: entry for slot in amounts if (entry := self._slots[slot]) and (not may or may(entry.name))}
        most = max(SHORTLIST, k)
        if len(held) <= k:
            return held
        values = [amounts[slot] for slot in held]
        edge = REACH * max(values)
        near = sorted((value for value in values if value >= edge), reverse=True)
        if len(near) < k:
            edge = heapq.nlargest(k, values)[-1]
        elif len(near) >= most:
            edge = near[most - 1]
        above = [slot for slot in held if amounts[slot] > edge]
        level = sorted((held[slot].name, slot) for slot in held if amounts[slot] == edge)
        return {slot: held[slot] for slot in (*above, *(slot for _, slot in level[: most - len(above)]))}

    def _lexical(self, asked: _Query, entry: Entry, evidence: float, weights: Weights) -> float:
        """By words: beside the evidence the best example, the best label, words in the same order."""
        if entry.weighed != self._postings.version:
            self._weigh(entry)
        cosines = _cosines(asked, entry)
        return (
            evidence
            + weights.label * max(cosines[: entry.labels], default=0.0) / asked.norm
            + weights.example * max(cosines[entry.labels :], default=0.0) / asked.norm
            # The exact sum: it does not depend on the order in which a set gives its members.
            + weights.adjacent * math.fsum(map(entry.pairs.__getitem__, entry.pairs.keys() & asked.pairs))
        )

    def _weigh(self, entry: Entry) -> None:
        squares = [0.0] * entry.count
        for sense, texts in entry.texts.items():
            square = self._postings.idf(sense) ** 2
            for text in texts:
                squares[text] += square
        entry.norms = tuple(map(math.sqrt, squares))
        entry.weighed = self._postings.version

    def _known(self, asked: _Query, entry: Entry) -> dict[str, float]:
        """The query's stems that an agent knows → how well, up to 1: itself, as a synonym, or spelt alike."""
        known, terms = {}, frozenset(entry.terms)
        for root, _, senses, alike in asked.ways:
            if root in terms or not terms.isdisjoint(senses):
                known[root] = 1.0
                continue
            for other, likeness in alike:  # nearest first
                if other in terms:
                    known[root] = likeness
                    break
        return known

    def _coverage(self, asked: _Query, entry: Entry) -> float:
        """The part of the query that an agent knows, each word by its idf; a word nobody knows weighs most."""
        idf = self._postings.idf
        total = sum(rarity for _, rarity, _, _ in asked.ways)
        return sum(idf(root) * how for root, how in self._known(asked, entry).items()) / total if total else 0.0

    def _matched(self, asked: _Query, entry: Entry) -> tuple[str, ...]:
        known = self._known(asked, entry)
        telling = [root for root in known if root not in FUNCTION_STEMS] or list(known)
        telling.sort(key=lambda root: -known[root] * self._postings.idf(root))  # stable: else as they were said
        return tuple(asked.surface[root] for root in telling)


def _portions(ranking: _Ranking) -> list[float]:
    return shares([one.strength for one in ranking.judged], ranking.tuning.calibration.nobody)


def _contenders(entries: Iterable[Entry], evidence: list[float]) -> list[Entry]:
    return heapq.nsmallest(CONTENDERS, entries, key=lambda entry: (-evidence[entry.slot], entry.name))


def _cosines(asked: _Query, entry: Entry) -> list[float]:
    """The query against each text of an agent, times the query's length."""
    shared, texts = [0.0] * entry.count, entry.texts
    for sense, square in asked.squares:
        if sense in texts:
            for text in texts[sense]:
                shared[text] += square
    return list(map(truediv, shared, entry.norms))
