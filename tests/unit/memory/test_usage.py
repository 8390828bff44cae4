"""Use counts: many searches, one write, nothing lost while the store is away."""

import pytest

from kit.identity import Owner, Reach
from services.memory import usage
from services.memory.embedder_hashed import NAME, vector_of
from services.memory.store import Draft, Wording
from services.memory.store_memory import InMemoryStore
from services.memory.usage import UsageCounts
from services.memory.wording import digest
from tests.fakes import FixedClock

CLOCK = FixedClock()
ALICES = Reach("acme", "alice")


@pytest.fixture
async def store() -> InMemoryStore:
    store = InMemoryStore(NAME)
    for name in ("mem-1", "mem-2"):
        wording = Wording(name, digest(name), (name,), vector_of(name))
        await store.add([Draft(name, Owner("acme", "alice"), wording, CLOCK.now())])
    return store


async def uses(store: InMemoryStore, memory_id: str) -> int:
    memory = await store.get(ALICES, memory_id, CLOCK.now())
    assert memory is not None
    return memory.use_count


async def test_counts_are_written_together_and_once(store: InMemoryStore) -> None:
    counts = UsageCounts(store, CLOCK)
    counts.note(["mem-1", "mem-2"])
    counts.note(["mem-1"])
    assert await uses(store, "mem-1") == 0
    await counts.flush()
    await counts.flush()
    assert (await uses(store, "mem-1"), await uses(store, "mem-2")) == (2, 1)


async def test_counts_wait_while_the_store_is_away(store: InMemoryStore) -> None:
    counts = UsageCounts(store, CLOCK)
    counts.note(["mem-1"])
    store.away = True
    await counts.flush()
    counts.note(["mem-1"])
    store.away = False
    await counts.flush()
    assert await uses(store, "mem-1") == 2


async def test_what_waits_is_bounded(store: InMemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MAX_WAITING", 1)
    counts = UsageCounts(store, CLOCK)
    counts.note(["mem-1", "mem-2", "mem-1"])
    await counts.flush()
    assert (await uses(store, "mem-1"), await uses(store, "mem-2")) == (2, 0)
