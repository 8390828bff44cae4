"""What the cache in front of a sessions' store promises. That it is a store at all, the shared suites show."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bureau_contracts.sessions import Invocation, Message
from kit.identity import Reach
from services.sessions.errors import SessionNotFound
from services.sessions.record import SessionRecord
from services.sessions.redis_link import RedisLink
from services.sessions.service import BEYOND_EVERY_SEQ
from services.sessions.store import SessionStore
from services.sessions.store_cached import CachedSessionStore
from services.sessions.store_memory import MemorySessionStore
from services.sessions.tails import KEPT, Place, Tail, stamp_of, tail_of
from services.sessions.tails_redis import RedisTails
from tests.contract.stores.test_sessions_store import ACME, ANNA, a_session, appending
from tests.faulty_valkey import FaultyValkey, faulty_valkey
from tests.session_stores import cached, opened
from tests.waiting import eventually

BEN = Reach("acme", "ben")
ELSEWHERE = Reach("globex", None)
PLACE = Place("acme", "sess-1")
SECRET = "the words of somebody who has been erased"


class Watched(MemorySessionStore):
    """Counts how often messages are read from it."""

    reads = 0

    async def view(
        self, reach: Reach, session_id: str, *, messages: int, invocations: int
    ) -> tuple[SessionRecord, list[Message], list[Invocation]]:
        self.reads += 1
        await asyncio.sleep(0)  # as a database: others come in between
        return await super().view(reach, session_id, messages=messages, invocations=invocations)

    async def history(
        self,
        reach: Reach,
        session_id: str,
        *,
        after: int,
        before: int,
        limit: int,
        newest: bool,
        branch: int | None = None,
    ) -> tuple[int, list[Message]]:
        self.reads += 1
        return await super().history(
            reach, session_id, after=after, before=before, limit=limit, newest=newest, branch=branch
        )


@pytest.fixture
def database() -> Watched:
    return Watched()


@pytest.fixture
async def store(database: Watched, redis_url: str) -> AsyncIterator[SessionStore]:
    async with opened(cached(database, redis_url)) as store:
        yield store


@pytest.fixture
async def replica(database: Watched, redis_url: str) -> AsyncIterator[SessionStore]:
    async with opened(cached(database, redis_url)) as store:
        yield store


@pytest.fixture
async def tails(redis_url: str) -> AsyncIterator[RedisTails]:
    tails = RedisTails(RedisLink(redis_url, timeout_seconds=5), ttl_seconds=3600)
    await tails.open()
    yield tails
    await tails.close()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[FaultyValkey]:
    with faulty_valkey(tmp_path / "valkey") as own:
        yield own


async def texts(store: SessionStore, reach: Reach = ANNA, limit: int = 50) -> list[object]:
    record, messages, _ = await store.view(reach, "sess-1", messages=limit, invocations=50)
    assert [message.seq for message in messages][-1:] == [record.session.message_count][: len(messages)]
    return [message.content for message in messages]


def numbered(*numbers: int) -> list[object]:
    return [str(number) for number in numbers]


async def everything_in(redis_url: str) -> str:
    link = RedisLink(redis_url)
    keys = [key async for key in link.redis.scan_iter("*")]
    found = [str(await link.redis.hgetall(key)) for key in keys]
    await link.redis.aclose()
    return " ".join([*keys, *found])


async def test_what_was_written_is_read_from_the_cache_by_every_replica(
    store: SessionStore, replica: SessionStore, database: Watched
) -> None:
    await store.create(a_session())
    for number in range(60):
        await (store, replica)[number % 2].change(ANNA, "sess-1", appending(str(number)))
        assert await texts(replica, limit=1) == await texts(store, limit=1) == numbered(number)
    assert await texts(replica) == numbered(*range(10, 60))
    assert database.reads == 0
    # The same for the newest page of the history, and for what came since.
    newest = {"limit": 50, "newest": True, "before": BEYOND_EVERY_SEQ}
    count, page = await store.history(ANNA, "sess-1", after=0, **newest)  # type: ignore[arg-type]  # checked by running
    assert (count, [message.seq for message in page]) == (60, list(range(11, 61)))
    _, since = await store.history(ANNA, "sess-1", after=57, before=BEYOND_EVERY_SEQ, limit=2, newest=False)
    assert [message.seq for message in since] == [58, 59]
    assert database.reads == 0


async def test_what_the_cache_does_not_hold_comes_from_the_database(store: SessionStore, database: Watched) -> None:
    await store.create(a_session())
    await store.change(ANNA, "sess-1", appending(*map(str, range(60))))
    assert await texts(store, limit=51) == numbered(*range(9, 60))
    _, page = await store.history(ANNA, "sess-1", after=0, before=12, limit=3, newest=True)
    assert [message.seq for message in page] == [9, 10, 11]
    _, page = await store.history(ANNA, "sess-1", after=5, before=BEYOND_EVERY_SEQ, limit=3, newest=False)
    assert [message.seq for message in page] == [6, 7, 8]
    assert database.reads == 3


async def test_a_change_of_nothing_but_the_lease_or_state_leaves_the_cache_as_it_is(
    store: SessionStore, database: Watched
) -> None:
    await store.create(a_session(state={"a": 1}))
    await store.change(ANNA, "sess-1", appending("0"))
    await store.change(ANNA, "sess-1", appending())
    assert await texts(store) == numbered(0)
    assert database.reads == 0


async def test_nobody_is_shown_anothers_session_by_the_cache(store: SessionStore) -> None:
    await store.create(a_session())
    await store.change(ANNA, "sess-1", appending(SECRET))
    assert await texts(store, ANNA) == await texts(store, ACME) == [SECRET]
    for stranger in (BEN, ELSEWHERE):
        with pytest.raises(SessionNotFound):
            await texts(store, stranger)


async def test_a_session_that_was_missing_is_found_as_soon_as_it_is_there(
    store: SessionStore, replica: SessionStore
) -> None:
    with pytest.raises(SessionNotFound):
        await texts(replica)
    await store.create(a_session())
    assert await texts(replica) == []


async def test_a_slow_reader_does_not_put_back_what_was_there_before(tails: RedisTails, database: Watched) -> None:
    await database.create(a_session())
    before = await database.get(ANNA, "sess-1")
    await database.change(ANNA, "sess-1", appending("0"))
    after, messages, _ = await database.view(ANNA, "sess-1", messages=50, invocations=0)
    new = Tail(stamp_of(after), messages, [])
    await tails.keep(PLACE, new)
    await tails.keep(PLACE, Tail(stamp_of(before), [], []))
    kept = await tails.find(PLACE)
    assert kept is not None
    assert tail_of(kept, after, messages=50, invocations=50) == new
    await tails.forget(PLACE)
    await tails.keep(PLACE, new)
    assert await tails.find(PLACE) is None  # nor after an erasure


async def test_a_slow_reader_does_not_fill_an_empty_cache_with_what_was_changed_since(
    tails: RedisTails, database: Watched
) -> None:
    await database.create(a_session(message_count=7))
    before = await database.get(ANNA, "sess-1")
    await database.change(ANNA, "sess-1", appending("7"))
    after = await database.get(ANNA, "sess-1")
    await tails.extend(PLACE, before, Tail(stamp_of(after), [], []))
    await tails.keep(PLACE, Tail(stamp_of(before), [], []))
    assert await tails.find(PLACE) is None


async def test_a_purge_takes_what_was_said_out_of_redis(store: SessionStore, redis_url: str) -> None:
    await store.create(a_session())
    await store.change(ANNA, "sess-1", appending(SECRET))
    assert SECRET in await everything_in(redis_url)
    await store.purge(ANNA, "sess-1")
    assert SECRET not in await everything_in(redis_url)


async def test_an_id_that_is_used_again_shows_nothing_of_its_past(store: SessionStore, database: Watched) -> None:
    await store.create(a_session())
    await store.change(ANNA, "sess-1", appending(SECRET))
    # As from a replica that cannot reach Redis: the tail is still there.
    await database.purge(ANNA, "sess-1")
    await database.create(a_session())
    assert await texts(store) == []
    await database.change(ANNA, "sess-1", appending("new"))
    assert await texts(store) == ["new"]


async def test_what_a_restored_database_says_is_what_is_shown(store: SessionStore, database: Watched) -> None:
    await store.create(a_session())
    await database.change(ANNA, "sess-1", appending("kept"))
    kept = (await database.get(ANNA, "sess-1")), await texts(store)
    await store.change(ANNA, "sess-1", appending("lost"))
    assert await texts(store) == ["kept", "lost"]
    database._kept["acme", "sess-1"].record = kept[0]
    del database._messages["acme", "sess-1", 0][1:]
    assert await texts(store) == ["kept"]
    await store.change(ANNA, "sess-1", appending("anew", at=kept[0].session.created_at.replace(year=2027)))
    assert await texts(store) == ["kept", "anew"]


async def test_what_is_no_tail_is_not_believed(store: SessionStore, database: Watched, redis_url: str) -> None:
    await store.create(a_session())
    await store.change(ANNA, "sess-1", appending("0"))
    link = RedisLink(redis_url)
    stamp = stamp_of(await store.get(ANNA, "sess-1"))
    for messages in ("{", "[]\n", '{"seq": 1}\n', ""):
        await link.redis.hset("sessions:tail:{acme:sess-1}", mapping={"s": stamp, "m": messages, "i": ""})
        assert await texts(store) == numbered(0)
    await link.redis.aclose()
    assert database.reads == 4


async def test_what_is_too_large_is_not_kept_and_not_waited_for(
    store: SessionStore, database: Watched, redis_url: str
) -> None:
    await store.create(a_session())
    for number in range(4):
        await store.change(ANNA, "sess-1", appending(str(number) * 100_000))
    assert len(await everything_in(redis_url)) < 1000
    for _ in range(3):
        assert len(await texts(store)) == 4
    assert database.reads == 3
    assert len(await everything_in(redis_url)) < 1000


async def test_many_who_miss_the_same_tail_read_it_once(store: SessionStore, database: Watched) -> None:
    await store.create(a_session())
    await database.change(ANNA, "sess-1", appending(*map(str, range(KEPT))))
    shown = await asyncio.gather(*(texts(store, reach) for reach in (ANNA, ACME) * 16))
    assert shown == [numbered(*range(KEPT))] * 32
    assert database.reads == 1


async def test_processes_that_miss_the_same_tail_wait_for_the_one_that_reads_it(
    store: SessionStore, tails: RedisTails, database: Watched
) -> None:
    await store.create(a_session())
    await database.change(ANNA, "sess-1", appending("0"))
    record, messages, _ = await database.view(ANNA, "sess-1", messages=50, invocations=0)
    assert await tails.claim(PLACE, stamp_of(record))  # another process
    async with asyncio.TaskGroup() as group:
        shown = group.create_task(texts(store))
        await tails.keep(PLACE, Tail(stamp_of(record), messages, []))
    assert shown.result() == numbered(0)
    assert database.reads == 1
    # One that claimed and died is not waited for much longer than a moment.
    await database.change(ANNA, "sess-1", appending("1"))
    assert await tails.claim(PLACE, stamp_of(await database.get(ANNA, "sess-1")))
    async with asyncio.timeout(1):
        assert await texts(store) == numbered(0, 1)


async def test_a_frozen_redis_costs_one_time_out(valkey: FaultyValkey, database: Watched) -> None:
    link = RedisLink(valkey.url, timeout_seconds=0.4)
    async with opened(CachedSessionStore(database, RedisTails(link, ttl_seconds=60))) as store:
        await store.create(a_session())
        await store.change(ANNA, "sess-1", appending("0"))
        valkey.freeze()
        try:
            async with asyncio.timeout(2):  # two hundred time-outs would be eighty seconds
                for number in range(1, 101):
                    await store.change(ANNA, "sess-1", appending(str(number)))
                    assert await texts(store, limit=1) == numbered(number)
        finally:
            valkey.thaw()
        reads = database.reads
        assert reads >= 100
        await eventually(lambda: not link.is_away)
        assert await texts(store, limit=2) == numbered(99, 100)
        await texts(store)
        assert database.reads <= reads + 1, "it is used again"


async def test_what_was_purged_while_redis_was_away_is_removed_when_it_is_back(
    valkey: FaultyValkey, database: Watched
) -> None:
    link = RedisLink(valkey.url, timeout_seconds=0.4)
    async with opened(CachedSessionStore(database, RedisTails(link, ttl_seconds=60))) as store:
        await store.create(a_session())
        await store.change(ANNA, "sess-1", appending(SECRET))
        valkey.freeze()
        await store.purge(ANNA, "sess-1")
        valkey.thaw()

        async def is_gone() -> bool:
            return SECRET not in await everything_in(valkey.url)

        await eventually(is_gone)
