"""How results are ordered when recency and importance count, and which memories say nearly the same: each adapter."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bureau_contracts.memory import MemoryHit, SearchMode
from kit.identity import Owner, Reach
from kit.ids import new_id
from services.memory.embedder_hashed import DIMENSIONS, NAME, vector_of
from services.memory.pgvector import Options
from services.memory.store import Draft, Filter, MemoryStore, Query, Wording
from services.memory.store_memory import InMemoryStore
from services.memory.store_pgvector import PgvectorStore
from services.memory.wording import digest, distinct_words
from tests.fakes import FixedClock

NOW = FixedClock().now()
ALICE, BOB, ALICES = Owner("acme", "alice"), Owner("acme", "bob"), Reach("acme", "alice")
ALL = Filter(NOW)


@pytest.fixture(params=["memory", "pgvector exact", "pgvector index"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[MemoryStore]:
    if request.param == "memory":
        yield InMemoryStore(NAME)
        return
    exact_rows = 4000 if request.param == "pgvector exact" else 0
    url = request.getfixturevalue("memory_database_url")
    made = PgvectorStore(Options(url, NAME, DIMENSIONS, search_timeout_seconds=20, exact_rows=exact_rows))
    await made.prepare()
    yield made
    await made.close()


async def keep(store: MemoryStore, text: str, days_ago: float = 0, owner: Owner = ALICE, **fields: Any) -> None:
    wording = Wording(text, digest(text), distinct_words(text), vector_of(text))
    await store.add([Draft(new_id("mem"), owner, wording, NOW - timedelta(days=days_ago), **fields)])


async def search(store: MemoryStore, q: str, mode: SearchMode, **terms: Any) -> list[MemoryHit]:
    vector = None if mode is SearchMode.TEXT else vector_of(q)
    words = () if mode is SearchMode.VECTOR else distinct_words(q)
    return await store.search(ALICES, ALL, Query(mode, vector, words, 10, **terms))


def texts(hits: list[MemoryHit]) -> list[str]:
    return [hit.memory.text for hit in hits]


@pytest.mark.parametrize("mode", list(SearchMode))
async def test_without_terms_the_score_is_the_relevance(store: MemoryStore, mode: SearchMode) -> None:
    await keep(store, "green tea", days_ago=400, importance=1)
    await keep(store, "green tea and much else", importance=0)
    hits = await search(store, "green tea", mode)
    assert all((hit.score, hit.recency, hit.weight) == (hit.relevance, 1, 1) for hit in hits)


@pytest.mark.parametrize("mode", list(SearchMode))
async def test_an_old_memory_counts_half_after_its_half_life(store: MemoryStore, mode: SearchMode) -> None:
    await keep(store, "green tea", days_ago=20)
    await keep(store, "green tea, white tea", days_ago=10)
    await keep(store, "green, white and black tea")
    hits = {hit.memory.text: hit for hit in await search(store, "tea green", mode, half_life=timedelta(days=10))}
    assert hits["green tea"].recency == pytest.approx(0.25)
    assert hits["green tea, white tea"].recency == pytest.approx(0.5)
    assert hits["green, white and black tea"].recency == 1
    for hit in hits.values():
        assert hit.score == pytest.approx(hit.relevance * hit.recency)
    assert texts(list(hits.values()))[0] == "green, white and black tea"


@pytest.mark.parametrize("mode", list(SearchMode))
async def test_importance_counts_as_much_as_is_asked_for(store: MemoryStore, mode: SearchMode) -> None:
    await keep(store, "green tea one", importance=0)
    await keep(store, "green tea two", importance=1)
    hits = await search(store, "green tea one", mode, importance_weight=1.0)
    assert texts(hits) == ["green tea two", "green tea one"]
    assert [hit.weight for hit in hits] == [1.5, 0.5]
    assert texts(await search(store, "green tea one", mode, importance_weight=0.0))[0] == "green tea one"


async def test_the_least_score_is_compared_with_all_terms_counted_in(store: MemoryStore) -> None:
    await keep(store, "green tea", days_ago=10)
    terms: dict[str, Any] = {"half_life": timedelta(days=10)}
    (hit,) = await search(store, "green tea", SearchMode.TEXT, **terms)
    assert hit.score == pytest.approx(0.5)
    assert await search(store, "green tea", SearchMode.TEXT, min_score=0.51, **terms) == []


async def test_a_memory_from_a_clock_ahead_is_not_more_than_new(store: MemoryStore) -> None:
    await keep(store, "green tea", days_ago=-5)
    (hit,) = await search(store, "green tea", SearchMode.TEXT, half_life=timedelta(days=1))
    assert hit.recency == 1


@pytest.mark.parametrize("mode", list(SearchMode))
async def test_what_is_old_beyond_all_half_lives_is_found_still_behind_what_is_newer(
    store: MemoryStore, mode: SearchMode
) -> None:
    await keep(store, "green tea", days_ago=3650)
    await keep(store, "green tea, white tea", days_ago=1)
    hits = await search(store, "green tea", mode, half_life=timedelta(minutes=10), importance_weight=2)
    assert texts(hits) == ["green tea, white tea", "green tea"]
    assert 0 < hits[1].recency < hits[0].recency < 1e-40


async def test_nearly_the_same_memories_of_one_owner_are_paired(store: MemoryStore) -> None:
    await keep(store, "prefers the dark theme in every editor")
    await keep(store, "prefers the dark theme in each editor")
    await keep(store, "is allergic to peanuts")
    await keep(store, "prefers the dark theme in every editor!?", owner=BOB)
    await keep(store, "prefers a dark theme in every editor", agent="tickets")
    pairs = await store.similar(ALICE, ALL, 0.7, 10)
    assert [sorted((one.text, other.text)) for one, other, _ in pairs] == [
        ["prefers the dark theme in each editor", "prefers the dark theme in every editor"]
    ]
    assert 0.7 <= pairs[0][2] <= 1.001
    assert await store.similar(ALICE, ALL, 0.999, 10) == []
    assert await store.similar(ALICE, ALL, 0.7, 0) == []
