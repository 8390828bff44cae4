"""What every adapter of the message rates promises, and how the shared one behaves with replicas and without Redis."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.identity import Owner
from services.sessions.rates import LocalMessageRates, MessageRates
from services.sessions.rates_redis import RedisMessageRates
from services.sessions.redis_link import RedisLink
from tests.faulty_valkey import faulty_valkey
from tests.waiting import eventually

ANNA = Owner("acme", "anna")


def shared(redis_url: str, timeout_seconds: float = 5) -> RedisMessageRates:
    return RedisMessageRates(RedisLink(redis_url, timeout_seconds=timeout_seconds), LocalMessageRates())


@pytest.fixture(params=["local", "redis"])
async def rates(request: pytest.FixtureRequest) -> AsyncIterator[MessageRates]:
    local = request.param == "local"
    rates: MessageRates = LocalMessageRates() if local else shared(request.getfixturevalue("redis_url"))
    await rates.open()
    yield rates
    await rates.close()


async def test_a_minute_admits_the_limit_and_then_says_when_to_come_back(rates: MessageRates) -> None:
    for _ in range(5):
        assert await rates.take(ANNA, 2, 10) is None
    full = await rates.take(ANNA, 1, 10)
    assert full is not None
    assert full.used == 10
    assert 50 <= full.retry_after <= 61


async def test_others_have_minutes_of_their_own(rates: MessageRates) -> None:
    assert await rates.take(ANNA, 10, 10) is None
    assert await rates.take(ANNA, 1, 10) is not None
    for other in (Owner("acme", "ben"), Owner("globex", "anna")):
        assert await rates.take(other, 10, 10) is None


async def test_more_than_the_limit_at_once_is_admitted_after_a_quiet_minute(rates: MessageRates) -> None:
    assert await rates.take(ANNA, 25, 10) is None
    full = await rates.take(ANNA, 1, 10)
    assert full is not None
    assert full.used == 25


async def test_replicas_count_together(redis_url: str) -> None:
    one, other = shared(redis_url), shared(redis_url)
    await one.open()
    await other.open()
    for each in (one, other, one, other):
        assert await each.take(ANNA, 1, 4) is None
    assert await one.take(ANNA, 1, 4) is not None
    assert await other.take(ANNA, 1, 4) is not None
    await one.close()
    await other.close()


async def test_without_redis_a_process_goes_on_with_what_it_admitted_itself(tmp_path: Path) -> None:
    with faulty_valkey(tmp_path / "valkey") as valkey:
        rates = shared(valkey.url, timeout_seconds=0.4)
        await rates.open()
        assert await rates.take(ANNA, 3, 4) is None
        valkey.freeze()
        assert await rates.take(ANNA, 1, 4) is None
        assert await rates.take(ANNA, 1, 4) is not None
        valkey.thaw()
        await eventually(lambda: not rates._link.is_away)
        full = await rates.take(ANNA, 2, 4)
        assert full is not None
        await rates.close()
