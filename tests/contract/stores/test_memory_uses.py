"""What keeps uses promises, on each adapter: the buffer in Redis and in the process, the store in Postgres and not."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from kit.identity import Owner, Reach
from kit.redis import connect
from services.memory.embedder_hashed import DIMENSIONS, NAME, vector_of
from services.memory.pgvector import Options
from services.memory.store import Draft, MemoryStore, Wording
from services.memory.store_memory import InMemoryStore
from services.memory.store_pgvector import PgvectorStore
from services.memory.use_buffer_memory import InMemoryUseBuffer
from services.memory.use_buffer_redis import RedisUseBuffer
from services.memory.use_store_memory import InMemoryUseStore
from services.memory.use_store_postgres import PostgresUseStore
from services.memory.uses import BufferAway, Report, Use, UseBuffer, UseStore
from services.memory.wording import digest
from tests.fakes import FixedClock
from tests.servers import closed_url, port_of

NOW = FixedClock().now()
ALICE, BOB, CAROL = Owner("acme", "alice"), Owner("acme", "bob"), Owner("globex", "alice")
ALICES, BOBS, ACMES = Reach("acme", "alice"), Reach("acme", "bob"), Reach("acme", None)
TRACE = "a" * 32


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def use(number: int, owner: Owner = ALICE, *given: str, trace: str = TRACE) -> Use:
    results = tuple((memory_id, 0.5) for memory_id in given)
    return Use(f"use-{number:04}", owner, trace, None, "tea?", at(number), results)


@pytest.fixture(params=["memory", "redis"])
async def buffer(request: pytest.FixtureRequest) -> AsyncIterator[UseBuffer]:
    if request.param == "memory":
        yield InMemoryUseBuffer()
        return
    redis = connect(request.getfixturevalue("redis_url"))
    yield RedisUseBuffer(redis)
    await redis.aclose()


async def test_what_is_pushed_is_taken_in_order_until_it_is_dropped(buffer: UseBuffer) -> None:
    uses = [use(1, ALICE, "mem-1", "mem-2"), use(2, BOB), use(3, CAROL)]
    await buffer.push(uses)
    await buffer.push(uses[:1])
    assert await buffer.take(10) == uses
    assert await buffer.take(2) == uses[:2]
    await buffer.drop(uses[:2])
    assert await buffer.take(10) == uses[2:]
    await buffer.drop(uses[2:])
    assert await buffer.take(10) == []
    await buffer.push(uses[:1])
    assert await buffer.take(10) == uses[:1]


async def test_one_persons_uses_are_erased_and_nobody_elses(buffer: UseBuffer) -> None:
    await buffer.push([use(1), use(2, BOB), use(3, CAROL)])
    await buffer.erase(ALICE)
    assert [each.owner for each in await buffer.take(10)] == [BOB, CAROL]


async def test_a_flood_of_one_tenant_costs_it_its_oldest(redis_url: str) -> None:
    redis = connect(redis_url)
    buffer = RedisUseBuffer(redis, max_per_tenant=3)
    await buffer.push([use(0, CAROL)])
    await buffer.push([use(number) for number in range(1, 8)])
    assert [each.use_id for each in await buffer.take(10)] == ["use-0005", "use-0006", "use-0007", "use-0000"]
    await redis.aclose()


async def test_a_redis_that_is_away_is_said_to_be() -> None:
    redis = connect(f"redis://127.0.0.1:{port_of(closed_url())}/0")
    buffer = RedisUseBuffer(redis)
    for call in (buffer.push([use(1)]), buffer.take(1), buffer.drop([use(1)]), buffer.erase(ALICE)):
        with pytest.raises(BufferAway):
            await call
    await redis.aclose()


class House:
    def __init__(self, memories: MemoryStore, uses: UseStore) -> None:
        self.memories, self.uses = memories, uses

    async def keep(self, memory_id: str, owner: Owner = ALICE) -> None:
        wording = Wording(memory_id, digest(memory_id), (memory_id,), vector_of(memory_id))
        await self.memories.add([Draft(memory_id, owner, wording, NOW)])


@pytest.fixture(params=["memory", "pgvector"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "memory":
        memories = InMemoryStore(NAME)
        yield House(memories, InMemoryUseStore(memories))
        return
    store = PgvectorStore(Options(request.getfixturevalue("memory_database_url"), NAME, DIMENSIONS))
    await store.prepare()
    yield House(store, PostgresUseStore(store.database, 20))
    await store.close()


async def test_a_use_is_kept_once_and_seen_within_reach(house: House) -> None:
    await house.keep("mem-1")
    await house.keep("mem-2", BOB)
    for _ in range(2):
        await house.uses.record([use(1, ALICE, "mem-1"), use(2, BOB, "mem-2", "mem-1"), use(3, CAROL)])
    assert [each.use_id for each in await house.uses.of_trace(ACMES, TRACE, 10)] == ["use-0002", "use-0001"]
    (mine,) = await house.uses.of_trace(ALICES, TRACE, 10)
    assert (mine.query, mine.user_id, mine.searched_at) == ("tea?", "alice", at(1))
    assert [(each.memory_id, each.score, each.helped) for each in mine.results] == [("mem-1", 0.5, None)]
    assert [each.use_id for each in await house.uses.of_memory(ALICES, "mem-1", 10)] == ["use-0001"]
    assert [each.use_id for each in await house.uses.of_memory(ACMES, "mem-1", 1)] == ["use-0002"]
    assert await house.uses.of_memory(Reach("globex", None), "mem-1", 10) == []
    assert await house.uses.of_trace(ALICES, "b" * 32, 10) == []


async def test_a_purged_memory_is_named_nowhere_and_comes_back_by_no_late_record(house: House) -> None:
    await house.keep("mem-1")
    await house.keep("mem-2")
    await house.uses.record([use(1, ALICE, "mem-1", "mem-2")])
    await house.memories.delete(ALICES, "mem-1", NOW, purge=True)
    (kept,) = await house.uses.of_trace(ALICES, TRACE, 10)
    assert [each.memory_id for each in kept.results] == ["mem-2"]
    await house.memories.erase(ALICE)
    await house.uses.erase(ALICE)
    await house.uses.record([use(1, ALICE, "mem-1", "mem-2"), use(2, ALICE)])
    assert [each.use_id for each in await house.uses.of_trace(ALICES, TRACE, 10)] == ["use-0002"]


async def test_nobodys_use_names_another_tenants_memory(house: House) -> None:
    await house.keep("mem-1")
    await house.uses.record([use(1, CAROL, "mem-1")])
    assert await house.uses.of_trace(Reach("globex", None), TRACE, 10) == []


async def test_the_last_report_counts_and_harm_is_summed_up(house: House) -> None:
    for memory_id in ("mem-1", "mem-2"):
        await house.keep(memory_id)
    await house.uses.record([use(1, ALICE, "mem-1", "mem-2"), use(2, ALICE, "mem-1", trace="b" * 32), use(3, BOB)])
    assert await house.uses.report(BOBS, Report(TRACE, None, False, "", NOW)) == 0
    assert await house.uses.report(ALICES, Report(TRACE, None, True, "", NOW)) == 2
    assert await house.uses.report(ALICES, Report(TRACE, ("mem-1",), False, "wrong town", NOW)) == 1
    assert await house.uses.report(ALICES, Report("b" * 32, None, False, "", NOW)) == 1
    (first, *_) = await house.uses.of_trace(ALICES, TRACE, 10)
    assert [(each.helped, each.note) for each in first.results] == [(False, "wrong town"), (True, "")]
    (worst,) = await house.uses.harmful(ALICES, NOW, 10)
    assert (worst.memory.memory_id, worst.helped, worst.harmed) == ("mem-1", 0, 2)
    assert await house.uses.harmful(BOBS, NOW, 10) == []


async def test_what_nobody_finds_is_listed(house: House) -> None:
    for memory_id in ("mem-1", "mem-2", "mem-3"):
        await house.keep(memory_id)
    await house.memories.note_used({"mem-1": 1}, at(100))
    await house.memories.note_used({"mem-2": 1}, at(10))
    await house.memories.delete(ALICES, "mem-3", at(20))

    async def unused(since: float, reach: Reach = ALICES) -> list[str]:
        return [each.memory_id for each in await house.uses.unused(reach, at(since), at(200), 10)]

    assert await unused(50) == ["mem-2"]
    assert await unused(150) == ["mem-2", "mem-1"]
    assert await unused(0) == []
    assert await unused(150, BOBS) == []


async def test_old_uses_go(house: House) -> None:
    await house.keep("mem-1")
    await house.uses.record([use(number, ALICE, "mem-1") for number in range(5)])
    assert await house.uses.purge(at(3), 2) == 2
    assert await house.uses.purge(at(3), 2) == 1
    assert await house.uses.purge(at(3), 2) == 0
    assert len(await house.uses.of_trace(ALICES, TRACE, 10)) == 2
