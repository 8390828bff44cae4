"""Deleting, restoring, superseding and quarantine of memories, on each adapter."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from bureau_contracts.memory import Memory, MemoryKind, Origin, Quarantined, SearchMode
from kit.identity import Owner, Reach
from kit.ids import new_id
from services.memory.embedder_hashed import DIMENSIONS, NAME, HashedEmbedder, vector_of
from services.memory.pgvector import Options
from services.memory.store import Change, Draft, Filter, Query, SameText, Successor, Superseded, Wording
from services.memory.store_memory import InMemoryStore
from services.memory.store_pgvector import PgvectorStore
from services.memory.upkeep import VectorUpkeep
from services.memory.wording import digest, distinct_words
from tests.fakes import FixedClock

NOW = FixedClock().now()
LONG_AGO = NOW - timedelta(days=7)
ALICE, ALICES, BOBS, ACMES = Owner("acme", "alice"), Reach("acme", "alice"), Reach("acme", "bob"), Reach("acme", None)

Store = InMemoryStore | PgvectorStore


@pytest.fixture(params=["memory", "pgvector exact", "pgvector index"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield InMemoryStore(NAME)
        return
    exact_rows = 4000 if request.param == "pgvector exact" else 0
    url = request.getfixturevalue("memory_database_url")
    made = PgvectorStore(Options(url, NAME, DIMENSIONS, search_timeout_seconds=20, exact_rows=exact_rows))
    await made.prepare()
    yield made
    await made.close()


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def worded(text: str) -> Wording:
    return Wording(text, digest(text), distinct_words(text), vector_of(text))


async def keep(store: Store, text: str, **fields: Any) -> str:
    return (await store.add([Draft(new_id("mem"), ALICE, worded(text), NOW, **fields)]))[0].memory_id


async def found(store: Store, q: str, seconds: float = 0, **fields: Any) -> list[str]:
    """By every way to find: all must agree."""
    which = Filter(at(seconds), **fields)
    ways = [
        sorted(memory.text for memory in await store.page(ALICES, which, 50, None)),
        *[
            sorted(hit.memory.text for hit in await store.search(ALICES, which, Query(mode, vector, words, 50)))
            for mode, vector, words in (
                (SearchMode.TEXT, None, distinct_words(q)),
                (SearchMode.HYBRID, vector_of(q), distinct_words(q)),
            )
        ],
    ]
    assert ways[1] == ways[2] == ways[0]
    return ways[0]


def by(text: str, **fields: Any) -> Successor:
    def successor(old: Memory) -> Draft:
        owner = Owner(old.tenant, old.user_id)
        return Draft(
            new_id("mem"), owner, worded(text), at(10), old.kind, old.agent, supersedes=old.memory_id, **fields
        )

    return successor


async def test_a_deleted_memory_is_not_found_and_can_be_restored(store: Store) -> None:
    memory_id = await keep(store, "likes tea", expires_at=at(1000), metadata={"a": 1})
    before = await store.get(ALICES, memory_id, NOW)
    assert await store.delete(ALICES, memory_id, at(1))
    assert await found(store, "tea", 2) == []
    assert await store.get(ALICES, memory_id, at(2)) is None
    assert await store.history(ALICES, memory_id, at(2)) is None
    assert await store.update(ALICES, memory_id, Change(importance=1), at(2)) is None
    assert not await store.delete(ALICES, memory_id, at(2))
    assert await found(store, "tea", -3600) == [], "nor by a process whose clock is behind"
    restored = await store.restore(ALICES, memory_id, at(3), deleted_after=LONG_AGO)
    assert before is not None
    assert restored == before.model_copy(update={"embedding_model": ""})
    await VectorUpkeep(store, HashedEmbedder()).run()
    assert await store.get(ALICES, memory_id, at(4)) == before
    assert await found(store, "tea", 4) == ["likes tea"]


async def test_nobody_else_and_nobody_too_late_restores(store: Store) -> None:
    memory_id = await keep(store, "likes tea")
    assert await store.restore(ALICES, memory_id, NOW, deleted_after=LONG_AGO) is None, "it was not deleted"
    await store.delete(ALICES, memory_id, NOW)
    assert await store.restore(BOBS, memory_id, at(1), deleted_after=LONG_AGO) is None
    assert await store.restore(Reach("globex", None), memory_id, at(1), deleted_after=LONG_AGO) is None
    assert await store.restore(ALICES, memory_id, at(1), deleted_after=at(0.5)) is None
    assert await store.restore(ACMES, memory_id, at(1), deleted_after=LONG_AGO) is not None


async def test_a_text_that_was_stored_again_since_stays_the_only_one(store: Store) -> None:
    memory_id = await keep(store, "likes tea")
    await store.delete(ALICES, memory_id, NOW)
    again = await keep(store, "Likes tea")
    assert again != memory_id
    assert await store.restore(ALICES, memory_id, at(1), deleted_after=LONG_AGO) is None
    assert await found(store, "tea", 1) == ["Likes tea"]


async def test_what_is_purged_is_gone_for_good(store: Store) -> None:
    first, second = await keep(store, "likes tea"), await keep(store, "green tea")
    await store.delete(ALICES, first, NOW)
    assert not await store.delete(BOBS, first, at(1), purge=True)
    assert await store.delete(ALICES, first, at(1), purge=True), "also what was deleted already"
    assert await store.delete(ALICES, second, at(1), purge=True)
    for memory_id in (first, second):
        assert await store.restore(ALICES, memory_id, at(2), deleted_after=LONG_AGO) is None


async def test_the_sweep_takes_what_is_gone_long_enough_and_nothing_else(store: Store) -> None:
    expired = await keep(store, "old tea", expires_at=at(10))
    deleted = await keep(store, "bad tea")
    late = await keep(store, "late tea")
    await keep(store, "good tea", expires_at=at(10_000))
    await store.delete(ALICES, deleted, at(10))
    await store.delete(ALICES, late, at(500))
    assert await store.purge_gone(at(5), 10) == 0
    assert await store.purge_gone(at(100), 1) == 1
    assert await store.purge_gone(at(100), 10) == 1
    assert await store.purge_gone(at(100), 10) == 0
    assert await store.restore(ALICES, deleted, at(600), deleted_after=LONG_AGO) is None
    assert await store.restore(ALICES, late, at(600), deleted_after=LONG_AGO) is not None
    assert await store.get(ALICES, expired, at(5)) is None
    assert await found(store, "tea", 600) == ["good tea", "late tea"]


async def test_what_is_superseded_is_kept_and_only_the_new_is_found(store: Store) -> None:
    old_id = await keep(store, "lives in Rome", kind=MemoryKind.FACT, agent="tickets")
    new = await store.supersede(ALICES, old_id, by("lives in Paris"), at(10))
    assert new is not None
    assert (new.supersedes, new.valid_from, new.agent) == (old_id, at(10), "tickets")
    old = await store.get(ALICES, old_id, at(11))
    assert old is not None
    assert (old.text, old.valid_to, old.superseded_by) == ("lives in Rome", at(10), new.memory_id)
    assert await found(store, "lives", 11) == ["lives in Paris"]
    assert await found(store, "lives", 11, superseded=True) == ["lives in Paris", "lives in Rome"]
    assert await found(store, "lives", 11, as_of=at(5)) == ["lives in Rome"]
    assert await found(store, "lives", 11, as_of=at(10)) == ["lives in Paris"]
    assert await found(store, "lives", 11, as_of=at(-5)) == []


async def test_a_fact_may_become_true_again(store: Store) -> None:
    rome = await keep(store, "lives in Rome")
    paris = await store.supersede(ALICES, rome, by("lives in Paris"), at(10))
    assert paris is not None
    again = await store.supersede(ALICES, paris.memory_id, by("lives in Rome"), at(20))
    assert again is not None
    assert again.memory_id != rome
    assert await found(store, "lives", 21) == ["lives in Rome"]
    assert await found(store, "lives", 21, superseded=True) == ["lives in Paris", "lives in Rome", "lives in Rome"]


async def test_what_was_superseded_is_closed_and_a_text_there_is_taken_changes_nothing(store: Store) -> None:
    rome, tea = await keep(store, "lives in Rome"), await keep(store, "likes tea")
    with pytest.raises(SameText):
        await store.supersede(ALICES, rome, by("Likes tea"), at(10))
    assert await found(store, "lives likes", 11) == ["likes tea", "lives in Rome"]
    await store.supersede(ALICES, rome, by("lives in Paris"), at(10))
    with pytest.raises(Superseded):
        await store.supersede(ALICES, rome, by("lives in Oslo"), at(20))
    with pytest.raises(Superseded):
        await store.update(ALICES, rome, Change(importance=1), at(20))
    assert await store.supersede(BOBS, tea, by("x"), at(20)) is None
    assert await store.supersede(ALICES, "mem-0", by("x"), at(20)) is None


async def test_memories_are_chosen_by_origin_and_quarantine(store: Store) -> None:
    await keep(store, "tea by user")
    await keep(store, "tea by tool", origin=Origin.TOOL, quarantined=True)
    await keep(store, "tea by document", origin=Origin.DOCUMENT)
    assert len(await found(store, "tea")) == 3
    assert await found(store, "tea", quarantined=Quarantined.ONLY) == ["tea by tool"]
    assert await found(store, "tea", quarantined=Quarantined.EXCLUDE) == ["tea by document", "tea by user"]
    assert await found(store, "tea", origins=(Origin.USER, Origin.TOOL)) == ["tea by tool", "tea by user"]
    assert await found(store, "tea", but_origins=(Origin.TOOL, Origin.DOCUMENT)) == ["tea by user"]


async def test_a_release_from_quarantine_is_in_the_history(store: Store) -> None:
    memory_id = await keep(store, "tea by tool", origin=Origin.TOOL, quarantined=True)
    released = await store.update(ALICES, memory_id, Change(quarantined=False), at(5))
    assert released is not None
    assert (released.quarantined, released.origin) == (False, Origin.TOOL)
    versions = await store.history(ALICES, memory_id, at(6))
    assert versions is not None
    assert [version.quarantined for version in versions] == [True]
    assert await found(store, "tea", 6, quarantined=Quarantined.EXCLUDE) == ["tea by tool"]
