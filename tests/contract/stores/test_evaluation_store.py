"""What every metrics store promises, on each adapter."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.redis import connect
from services.evaluation.store import MetricKindDiffers, MetricsStore, Series, TooManySeries
from services.evaluation.store_memory import MemoryStore
from services.evaluation.store_redis import RedisStore

MAX_SERIES = 3


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[MetricsStore]:
    if request.param == "memory":
        yield MemoryStore(MAX_SERIES)
        return
    redis = connect(request.getfixturevalue("redis_url"))
    yield RedisStore(redis, MAX_SERIES)
    await redis.aclose()


def series(name: str, observed: bool = False, **labels: str) -> Series:
    return Series(name, tuple(sorted(labels.items())), observed)


async def values(store: MetricsStore, tenant: str) -> list[tuple[str, dict[str, str], float, int]]:
    return [(each.name, each.labels, each.value, each.count) for each in await store.all(tenant)]


async def test_what_is_recorded_adds_up(store: MetricsStore) -> None:
    await store.add("acme", series("turns", agent="tickets"), 1)
    await store.add("acme", series("turns", agent="tickets"), 2.5)
    assert await values(store, "acme") == [("turns", {"agent": "tickets"}, 3.5, 2)]


async def test_other_labels_are_another_series_and_order_means_nothing(store: MetricsStore) -> None:
    await store.add("acme", series("turns", b="2", a="1"), 1)
    await store.add("acme", series("turns", a="1", b="2"), 1)
    await store.add("acme", series("turns"), 1)
    assert await values(store, "acme") == [("turns", {}, 1, 1), ("turns", {"a": "1", "b": "2"}, 2, 2)]


async def test_metrics_come_by_name_then_by_labels(store: MetricsStore) -> None:
    for each in (series("turns", agent="b"), series("errors"), series("turns", agent="a")):
        await store.add("acme", each, 1)
    found = [(each.name, each.labels) for each in await store.all("acme")]
    assert found == [("errors", {}), ("turns", {"agent": "a"}), ("turns", {"agent": "b"})]


async def test_a_tenant_has_its_own_metrics_limit_and_kinds(store: MetricsStore) -> None:
    for number in range(MAX_SERIES):
        await store.add("acme", series("turns", number=str(number)), 1)
    await store.add("globex", series("turns", observed=True), 7)
    assert await values(store, "globex") == [("turns", {}, 7, 1)]
    assert len(await store.all("acme")) == MAX_SERIES
    assert await store.all("initech") == []


async def test_one_series_too_many_is_refused_and_the_known_ones_still_count(store: MetricsStore) -> None:
    for number in range(MAX_SERIES):
        await store.add("acme", series("turns", number=str(number)), 1)
    with pytest.raises(TooManySeries):
        await store.add("acme", series("turns", number="another"), 1)
    await store.add("acme", series("turns", number="0"), 1)
    assert [count for *_, count in await values(store, "acme")] == [2, 1, 1]


async def test_the_limit_holds_against_many_at_once(store: MetricsStore) -> None:
    adds = (store.add("acme", series("turns", number=str(number)), 1) for number in range(20))
    results = await asyncio.gather(*adds, return_exceptions=True)
    assert results.count(None) == MAX_SERIES
    assert len(await store.all("acme")) == MAX_SERIES


async def test_a_metric_stays_of_the_kind_it_was_first(store: MetricsStore) -> None:
    await store.add("acme", series("seconds", observed=True), 1.5)
    with pytest.raises(MetricKindDiffers):
        await store.add("acme", series("seconds", observed=False, agent="a"), 1)
    (metric,) = await store.all("acme")
    assert (metric.observed, metric.value, metric.count) == (True, 1.5, 1)


async def test_concurrent_records_are_all_counted(store: MetricsStore) -> None:
    await asyncio.gather(*(store.add("acme", series("turns"), 0.5) for _ in range(40)))
    assert await values(store, "acme") == [("turns", {}, 20, 40)]


@pytest.mark.parametrize("value", ['"', "\\", "\n", ":", "☃", "sum:x", "a" * 200])
async def test_any_label_value_comes_back_as_it_was(store: MetricsStore, value: str) -> None:
    await store.add("acme", series("turns", label=value), 1)
    assert await values(store, "acme") == [("turns", {"label": value}, 1, 1)]


@pytest.mark.parametrize("value", [0.0, 1e15, 1e-7, 0.1])
async def test_any_value_comes_back_as_it_was(store: MetricsStore, value: float) -> None:
    await store.add("acme", series("turns"), value)
    (metric,) = await store.all("acme")
    assert metric.value == pytest.approx(value, rel=1e-12)


async def test_a_store_that_answers_is_healthy(store: MetricsStore) -> None:
    assert await store.ping() == ""
