"""Searches in this process alone: the same ranking as Postgres', row by row."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from operator import mul

from bureau_contracts.memory import Memory, MemoryHit, SearchMode
from services.memory.english_memory import COMMON, base_form
from services.memory.rows_memory import Row
from services.memory.store import FUSION_OFFSET, MOST_HALF_LIVES, Query
from services.memory.word_weights import SAMPLED, SLICES, Asked, AskedWord


@dataclass(frozen=True, slots=True)
class Language:
    common: frozenset[str]
    """The commonest words, looked for only when a query has no others."""
    base_form: Callable[[str], str | None]
    """None for a word that has none."""

    def bases(self, words: Iterable[str]) -> set[str]:
        return {base for word in words if (base := self.base_form(word)) is not None}

    def forms(self, words: Iterable[str]) -> set[str]:
        """As they are written, and their base forms with a sign that no word has."""
        return {*words, *(f"~{base}" for base in self.bases(words))}


LANGUAGES = {"simple": Language(frozenset(), lambda word: None), "english": Language(COMMON, base_form)}


def found(
    meant: Sequence[Row], within: Sequence[Row], query: Query, now: datetime, language: Language
) -> list[MemoryHit]:
    """The best of the rows that are meant; those within reach, oldest first, tell how common a word is."""
    rows = {row.memory.memory_id: row for row in meant}
    shared = _share_of(query, within, language)
    near, worded = _ranking(rows, _similarity_to(query), query), _ranking(rows, shared, query)
    hits = []
    for memory_id in near.keys() | worded.keys():
        similarity, share = near.get(memory_id), worded.get(memory_id)
        parts = {"vector": similarity, "text": share}
        if query.mode is SearchMode.HYBRID:
            relevance = _worth(near, similarity) + (share or 0) * _worth(worded, share)
        else:
            relevance = max(value for value in parts.values() if value is not None)
        memory = rows[memory_id].memory
        recency, weight = (
            _recency(memory, now, query),
            1 + query.importance_weight * (memory.importance - 0.5),
        )
        score = relevance * recency * weight
        if query.min_score is None or score >= query.min_score:
            hits.append(
                MemoryHit(
                    memory=memory, score=score, relevance=relevance, recency=recency, weight=weight,
                    similarity=similarity, text_rank=share,
                    matched=[name for name, value in parts.items() if value is not None],
                )
            )  # fmt: skip
    hits.sort(key=lambda hit: (hit.score, hit.memory.created_at, hit.memory.memory_id), reverse=True)
    return hits[: query.k]


def pairs(rows: Sequence[Row], above: float, limit: int) -> list[tuple[Memory, Memory, float]]:
    """Of one owner's rows, the closest first."""
    by_id = sorted((row for row in rows if row.wording.vector is not None), key=lambda row: row.memory.memory_id)
    found = [
        (one.memory, other.memory, similarity)
        for one, other in combinations(by_id, 2)
        if one.memory.agent == other.memory.agent
        and (similarity := _cosine(one.wording.vector or [], other.wording.vector or [])) >= above
    ]
    return sorted(found, key=lambda pair: -pair[2])[:limit]


def _ranking(rows: Mapping[str, Row], value_of: Callable[[Row], float | None], query: Query) -> dict[str, float]:
    """The best rows with their values, best first, newer first among equals."""
    valued = [(value, *row.position) for row in rows.values() if (value := value_of(row)) is not None]
    return {memory_id: value for value, _, memory_id in sorted(valued, reverse=True)[: query.candidates]}


def _similarity_to(query: Query) -> Callable[[Row], float | None]:
    vector = query.vector

    def similarity(row: Row) -> float | None:
        own = row.wording.vector
        return None if vector is None or own is None else _cosine(vector, own)

    return similarity


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(map(mul, one, other))


def _recency(memory: Memory, now: datetime, query: Query) -> float:
    if query.half_life is None:
        return 1.0
    return float(0.5 ** min(MOST_HALF_LIVES, max(timedelta(), now - memory.updated_at) / query.half_life))


def _share_of(query: Query, within: Sequence[Row], language: Language) -> Callable[[Row], float | None]:
    words = [word for word in query.words if word not in language.common] or query.words
    sample = [language.forms(row.wording.words) for row in _sampled(within)]
    forms = {word: sorted(language.forms([word]), key=lambda form: form != word) for word in words}
    counts = {word: sum(not known.isdisjoint(forms[word]) for known in sample) for word in words}
    asked = Asked.first((AskedWord(tuple(forms[word]), counts[word]) for word in words), len(sample))
    worth = list(zip(*asked.worth(), strict=True))

    def share(row: Row) -> float | None:
        own = language.forms(row.wording.words)
        matched = sum(value for form, value in worth if form in own)
        return round(matched / sum(value for _, value in worth), 4) if matched else None

    return share


def _sampled(within: Sequence[Row]) -> Sequence[Row]:
    if len(within) <= SAMPLED:
        return within
    times = [row.memory.created_at for row in within]
    begins = [bisect_left(times, times[0] + (times[-1] - times[0]) * slice / SLICES) for slice in range(SLICES)]
    places = {place for begin in begins for place in range(begin, begin + SAMPLED // SLICES)}
    return [within[place] for place in sorted(places) if place < len(within)]


def _worth(ranking: Mapping[str, float], value: float | None) -> float:
    if value is None:
        return 0.0
    return 1 / (FUSION_OFFSET + 1 + sum(other > value for other in ranking.values()))
