"""What stores of memories promise about vectors that are made later, on each adapter; a change of model on Postgres."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import pytest

from bureau_contracts.memory import EmbedPurpose, SearchMode
from kit.health import Degraded
from kit.identity import Owner, Reach
from kit.ids import new_id
from services.memory.embedder import EmbedderAway
from services.memory.embedder_hashed import DIMENSIONS, NAME, HashedEmbedder, vector_of
from services.memory.pgvector import Options
from services.memory.statements import Model
from services.memory.store import NO_MODEL, Change, Draft, Filter, MemoryStore, Query, Unembedded, Upkeep, Wording
from services.memory.store_memory import InMemoryStore
from services.memory.store_pgvector import PgvectorStore
from services.memory.upkeep import BATCH, VectorUpkeep
from services.memory.wording import digest, distinct_words
from tests.fakes import FixedClock

NOW = FixedClock().now()
ALICE, ALICES = Owner("acme", "alice"), Reach("acme", "alice")
ALL = Filter(NOW)


class Store(MemoryStore, Upkeep, Protocol):
    """What the upkeep and these tests need."""


class Short:
    """Another model: of three dimensions, one for each of three words."""

    name, dimensions, strength = "short-3", 3, "three words"

    def __init__(self) -> None:
        self.away = False
        self.refused = "no text"

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose) -> list[list[float]]:
        if self.away or self.refused in texts:
            raise EmbedderAway("the embedder is away")
        return [self.vector(text) for text in texts]

    @staticmethod
    def vector(text: str) -> list[float]:
        found = [float(word in text) for word in ("tea", "vim", "rain")]
        return [1.0, 0.0, 0.0] if not any(found) else [value / sum(found) ** 0.5 for value in found]


@pytest.fixture(params=["memory", "pgvector"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield InMemoryStore(NAME)
        return
    made = PgvectorStore(options(request.getfixturevalue("memory_database_url")))
    await made.prepare()
    yield made
    await made.close()


def options(url: str, model: str = NAME, dimensions: int = DIMENSIONS, previous: Model | None = None) -> Options:
    return Options(url, model, dimensions, pool_size=4, search_timeout_seconds=20, previous=previous)


def wording(text: str, vector: list[float] | None = None) -> Wording:
    return Wording(text, digest(text), distinct_words(text), vector)


async def keep(store: MemoryStore, text: str, vector: list[float] | None = None) -> str:
    return (await store.add([Draft(new_id("mem"), ALICE, wording(text, vector), NOW)]))[0].memory_id


async def near(store: MemoryStore, vector: list[float] | None, previous: list[float] | None = None) -> list[str]:
    query = Query(SearchMode.VECTOR, vector, (), 5, previous_vector=previous)
    return [hit.memory.text for hit in await store.search(ALICES, ALL, query)]


async def test_a_memory_without_a_vector_is_found_by_its_words_and_says_so(store: Store) -> None:
    memory_id = await keep(store, "likes tea")
    found = await store.search(ALICES, ALL, Query(SearchMode.HYBRID, vector_of("tea"), ("tea",), 5))
    assert [hit.matched for hit in found] == [["text"]]
    stored = await store.get(ALICES, memory_id, NOW)
    assert stored is not None
    assert stored.embedding_model == NO_MODEL
    assert await near(store, vector_of("tea")) == []
    assert await store.lacking() == 1


async def test_the_upkeep_gives_every_memory_its_vector(store: Store) -> None:
    texts = [f"likes tea number {number}" for number in range(BATCH + 3)]
    for text in texts:
        await keep(store, text)
    memory_id = await keep(store, "likes tea with a vector", vector_of("likes tea with a vector"))
    upkeep = VectorUpkeep(store, HashedEmbedder())
    await upkeep.run()
    assert upkeep.done
    assert await store.lacking() == 0
    stored = await store.get(ALICES, memory_id, NOW)
    assert stored is not None
    assert stored.embedding_model == NAME
    assert await near(store, vector_of(texts[5])) != []
    assert (await near(store, vector_of(texts[5])))[0] == texts[5]


async def test_a_text_that_changed_meanwhile_does_not_get_the_old_texts_vector(store: Store) -> None:
    memory_id = await keep(store, "likes tea")
    async with store.unembedded(BATCH, "") as memories:
        assert memories is not None
        (memory,) = memories
    await store.update(ALICES, memory_id, Change(wording=wording("likes coffee")), NOW)
    assert await store.embedded([(memory, vector_of("likes tea"))]) == 0
    assert await store.lacking() == 1
    await VectorUpkeep(store, HashedEmbedder()).run()
    assert await near(store, vector_of("coffee")) == ["likes coffee"]


async def test_a_memory_that_was_deleted_meanwhile_stays_deleted(store: Store) -> None:
    memory_id = await keep(store, "likes tea")
    await store.delete(ALICES, memory_id, NOW)
    assert await store.embedded([(Unembedded(memory_id, digest("likes tea"), ""), vector_of("tea"))]) == 0
    assert await store.lacking() == 0


async def test_one_at_a_time_does_the_upkeep(store: Store) -> None:
    await keep(store, "likes tea")
    async with store.unembedded(BATCH, "") as mine:
        assert mine
        async with store.unembedded(BATCH, "") as others:
            assert others is None
    async with store.unembedded(BATCH, "") as free_again:
        assert free_again


async def test_while_the_embedder_is_away_health_says_so_and_the_next_run_goes_on(store: Store) -> None:
    await keep(store, "likes tea")
    embedder = Short()
    embedder.name, embedder.dimensions, embedder.away = NAME, DIMENSIONS, True
    upkeep = VectorUpkeep(store, embedder)
    await upkeep.run()
    assert not upkeep.done
    with pytest.raises(Degraded, match="the embedder is away"):
        await upkeep.ping()
    back = VectorUpkeep(store, HashedEmbedder())
    await back.run()
    assert await back.ping() == ""


async def test_a_text_that_is_never_taken_holds_up_no_others(store: Store) -> None:
    for number in range(BATCH):
        await keep(store, f"vim {number}")
    await keep(store, "poison")
    for number in range(BATCH):
        await keep(store, f"tea {number}")

    class Picky(HashedEmbedder):
        async def embed(self, texts: Sequence[str], purpose: EmbedPurpose = EmbedPurpose.DOCUMENT) -> list[list[float]]:
            if "poison" in texts:
                raise EmbedderAway("refused")
            return await super().embed(texts, purpose)

    upkeep = VectorUpkeep(store, Picky())
    for _ in range(4):
        await upkeep.run()
    assert 1 <= await store.lacking() <= BATCH


async def test_after_a_change_of_model_both_are_searched_until_all_have_the_new_one(database_url: str) -> None:
    before = PgvectorStore(options(database_url))
    await before.prepare()
    for text in ("likes tea", "edits with vim", "dreads rain"):
        await keep(before, text, vector_of(text))
    await before.close()

    previous = Model(NAME, DIMENSIONS)
    after = PgvectorStore(options(database_url, Short.name, Short.dimensions, previous))
    await after.prepare()
    try:
        await keep(after, "tea again", Short.vector("tea again"))
        assert await after.lacking() == 3
        assert await near(after, Short.vector("vim")) == ["tea again"], "the new model alone knows the new one only"
        both = await near(after, Short.vector("vim"), vector_of("vim"))
        assert sorted(both) == ["dreads rain", "edits with vim", "likes tea", "tea again"], "none twice, none missing"
        upkeep = VectorUpkeep(after, Short())
        await upkeep.run()
        assert upkeep.done
        assert (await near(after, Short.vector("vim")))[0] == "edits with vim"
        once_more = await near(after, Short.vector("vim"), vector_of("vim"))
        assert sorted(once_more) == sorted(both), "what has both vectors is found by the new one alone"
        await VectorUpkeep(after, Short(), forget=NAME).run()
        assert await near(after, None, vector_of("vim")) == []
        assert (await near(after, Short.vector("vim")))[0] == "edits with vim"
    finally:
        await after.close()
