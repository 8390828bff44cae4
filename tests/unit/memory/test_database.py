"""When the memory's database counts as away, and for how long. The pool is a stand-in: no socket is opened."""

from typing import Any, cast

import pytest

from services.memory.database import REMEMBERED_SECONDS, Database, Pool
from services.memory.store import StoreAway


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class FakePool:
    """Gives out itself as a connection, or fails as a server that is away does."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.asked = 0

    async def acquire(self, timeout: float) -> "FakePool":
        self.asked += 1
        if self.failure:
            raise self.failure
        return self

    async def release(self, connection: "FakePool", timeout: float) -> None:
        assert connection is self

    def is_in_transaction(self) -> bool:
        return False

    def terminate(self) -> None:
        raise AssertionError("nothing here takes long")


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


def database(pool: FakePool, time: Time, prepared: list[str] | None = None) -> Database:
    async def open_pool() -> Pool:
        return cast(Pool, pool)

    async def prepare(_: Pool) -> None:
        await pool.acquire(1)
        if prepared is not None:
            prepared.append("prepared")

    return Database(open_pool, prepare, time)


async def ask(database: Database, failure: Exception | None = None) -> Any:
    async with database.connection(1) as connection:
        if failure:
            raise failure
        return connection


async def test_before_it_was_reached_every_call_is_refused(pool: FakePool, time: Time) -> None:
    unreached = database(pool, time)
    with pytest.raises(StoreAway, match="not reached yet"):
        await ask(unreached)


async def test_it_is_prepared_once_as_soon_as_it_is_reached(pool: FakePool, time: Time) -> None:
    prepared: list[str] = []
    away = database(pool, time, prepared)
    pool.failure = ConnectionRefusedError()
    await away.prepare()
    with pytest.raises(StoreAway, match="is away"):
        await ask(away)
    pool.failure = None
    await away.prepare()
    await away.prepare()
    assert prepared == ["prepared"]
    time.now += REMEMBERED_SECONDS
    assert await ask(away) is pool


async def test_after_a_failure_nobody_waits_to_find_out_the_same(pool: FakePool, time: Time) -> None:
    one = database(pool, time)
    await one.prepare()
    pool.failure = ConnectionRefusedError()
    for _ in range(3):
        with pytest.raises(StoreAway):
            await ask(one)
    assert pool.asked == 2  # once to prepare, once to find out
    pool.failure = None
    time.now += REMEMBERED_SECONDS
    assert await ask(one) is pool


async def test_a_slow_statement_is_not_taken_for_a_server_that_is_away(pool: FakePool, time: Time) -> None:
    one = database(pool, time)
    await one.prepare()

    async def be_slow_while_somebody_else_is_answered() -> None:
        async with one.connection(1):
            time.now += 1
            await ask(one)
            raise TimeoutError

    with pytest.raises(StoreAway, match="in time"):
        await be_slow_while_somebody_else_is_answered()
    assert await ask(one) is pool


async def test_a_server_that_answers_nobody_in_time_is_away(pool: FakePool, time: Time) -> None:
    one = database(pool, time)
    await one.prepare()
    time.now += 1
    with pytest.raises(StoreAway, match="in time"):
        await ask(one, TimeoutError())
    with pytest.raises(StoreAway, match="is away"):
        await ask(one)


async def test_a_mistake_of_ours_is_not_taken_for_an_outage(pool: FakePool, time: Time) -> None:
    one = database(pool, time)
    await one.prepare()
    with pytest.raises(KeyError):
        await ask(one, KeyError("a bug"))
    assert await ask(one) is pool
