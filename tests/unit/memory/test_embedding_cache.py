"""The cache in front of a slow embedder."""

import asyncio
from collections.abc import Sequence

import pytest

from bureau_contracts.memory import EmbedPurpose
from services.memory.embedder import EmbedderAway
from services.memory.embedding_cache import CachedEmbedder
from tests.waiting import eventually

DOCUMENT, QUERY = EmbedPurpose.DOCUMENT, EmbedPurpose.QUERY


class Slow:
    """One number per text: how many texts were made before it. Waits at the gate."""

    name, dimensions, strength = "slow", 1, "counts"

    def __init__(self) -> None:
        self.made: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose) -> list[list[float]]:
        await self.gate.wait()
        if self.away:
            raise EmbedderAway("away")
        first = len(self.made)
        self.made += texts
        return [[float(first + number)] for number in range(len(texts))]


@pytest.fixture
async def slow() -> Slow:
    return Slow()


async def test_a_text_is_made_once_for_each_purpose(slow: Slow) -> None:
    cached = CachedEmbedder(slow)
    assert await cached.embed(["a", "b", "a"], DOCUMENT) == [[0], [1], [0]]
    assert await cached.embed(["b", "c"], DOCUMENT) == [[1], [2]]
    assert await cached.embed(["b"], QUERY) == [[3]]
    assert slow.made == ["a", "b", "c", "b"]


async def test_callers_that_come_together_share_one_making(slow: Slow) -> None:
    cached = CachedEmbedder(slow)
    slow.gate.clear()

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(cached.embed(["a"], QUERY)) for _ in range(20)]
        await eventually(lambda: bool(cached._making))
        slow.gate.set()
    assert [task.result() for task in asking] == [[[0.0]]] * 20
    assert slow.made == ["a"]


async def test_a_failure_is_not_remembered(slow: Slow) -> None:
    cached = CachedEmbedder(slow)
    slow.away = True
    with pytest.raises(EmbedderAway):
        await cached.embed(["a"], QUERY)
    slow.away = False
    assert await cached.embed(["a"], QUERY) == [[0]]
    assert not cached._making


async def test_it_keeps_no_more_than_it_may(slow: Slow) -> None:
    cached = CachedEmbedder(slow, kept_numbers=2)
    assert await cached.embed(["a", "b", "c"], QUERY) == [[0], [1], [2]]
    assert len(cached._kept) == 2
    assert await cached.embed(["a"], QUERY) == [[3]]
    assert await cached.embed(["c"], QUERY) == [[2]]
