"""The log of uses: a search never waits for it, and what is away loses little."""

from collections import deque
from datetime import timedelta

import pytest

from bureau_contracts.memory import NewMemory
from kit.identity import Owner, Principal
from services.memory import use_log
from services.memory.embedder_hashed import NAME, HashedEmbedder
from services.memory.service import Look, MemoryService, Wanted
from services.memory.store_memory import InMemoryStore
from services.memory.usage import UsageCounts
from services.memory.use_buffer_memory import InMemoryUseBuffer
from services.memory.use_log import UseLog
from services.memory.use_store_memory import InMemoryUseStore
from services.memory.vectors import Vectors
from tests.fakes import FixedClock

ALICE, BOB = Principal("acme", "alice"), Principal("acme", "bob")


class House:
    def __init__(self) -> None:
        clock = FixedClock()
        self.memories, self.buffer = InMemoryStore(NAME), InMemoryUseBuffer()
        self.store = InMemoryUseStore(self.memories)
        self.log = UseLog(self.buffer, self.store, clock, timedelta(days=1))
        counts = UsageCounts(self.memories, clock)
        vectors = Vectors(HashedEmbedder())
        self.service = MemoryService(self.memories, vectors, counts, clock, beside=[self.log], uses=self.log)

    async def search(self, q: str = "tea", principal: Principal = ALICE) -> None:
        await self.service.search(principal, Wanted(), Look(q))

    async def queries(self, principal: Principal = ALICE) -> list[str]:
        uses = await self.store.of_trace(principal.reach(), "", 100)
        return [use.query for use in uses]


@pytest.fixture
async def house() -> House:
    house = House()
    await house.service.remember(ALICE, [NewMemory(text="likes tea")])
    return house


async def test_a_search_is_buffered_and_then_written(house: House) -> None:
    await house.search("x" * 5000)
    assert await house.buffer.take(10) == []
    await house.log.write()
    assert len(await house.buffer.take(10)) == 1
    await house.log.flush()
    assert await house.buffer.take(10) == []
    assert await house.queries() == ["x" * 2000]


async def test_without_a_buffer_uses_go_straight_to_the_store(house: House) -> None:
    house.buffer.away = True
    await house.search()
    await house.log.flush()
    assert await house.queries() == ["tea"]


async def test_with_both_away_a_bounded_number_waits_and_no_search_fails(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.log._noted = deque(maxlen=3)
    monkeypatch.setattr(use_log, "MAX_NOTED", 3)
    house.buffer.away = True
    for number in range(5):
        await house.search(f"tea {number}")
    house.memories.away = True
    await house.log.flush()
    await house.search("nobody can be asked")
    house.memories.away = house.buffer.away = False
    await house.log.flush()
    assert sorted(await house.queries()) == ["tea 2", "tea 3", "tea 4"]


async def test_a_store_that_is_away_loses_nothing_that_is_buffered(house: House) -> None:
    await house.search()
    await house.log.write()
    house.memories.away = True
    await house.log.flush()
    house.memories.away = False
    await house.log.flush()
    assert await house.queries() == ["tea"]


async def test_erasing_a_person_forgets_uses_wherever_they_wait(house: House) -> None:
    await house.search("written")
    await house.log.flush()
    await house.search("buffered")
    await house.log.write()
    await house.search("noted")
    await house.search("bob's", BOB)
    await house.service.erase(ALICE, "alice")
    await house.log.flush()
    assert await house.queries() == []
    assert await house.queries(BOB) == ["bob's"]
    assert house.log._noted.maxlen == use_log.MAX_NOTED
    assert [use.owner for use in house.log._noted] == [] != [Owner("acme", "alice")]
