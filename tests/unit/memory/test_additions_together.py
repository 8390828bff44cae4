"""Additions that come while others are under way are stored together, and each caller has its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from bureau_contracts.memory import MemoryStored
from kit.identity import Owner
from services.memory.additions_together import MOST_CHARACTERS, MOST_TOGETHER, Together
from services.memory.store import Draft, InTheWay, StoreAway, Wording
from tests.fakes import FixedClock

NOW = FixedClock().now()
BAD, AWAY, CROSSED = "cannot be stored", "while the store is away", "crosses another"


class Unstorable(Exception):
    pass


class Store:
    """Stores when it is let, all of a call or none."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.stored: list[str] = []
        self.let = asyncio.Event()
        self.at_once = self.most_at_once = 0

    async def add(self, drafts: Sequence[Draft]) -> list[MemoryStored]:
        texts = [draft.wording.text for draft in drafts]
        self.calls.append(texts)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.let.wait()
        self.at_once -= 1
        if BAD in texts:
            raise Unstorable
        if AWAY in texts:
            raise StoreAway("away")
        if CROSSED in texts and len(texts) > 1:
            raise InTheWay("another change")
        self.stored += texts
        return [MemoryStored(memory_id=text, created=True) for text in texts]


def drafts(*texts: str, vector: list[float] | None = None) -> list[Draft]:
    return [Draft(text, Owner("acme", "alice"), Wording(text, text.encode(), (), vector), NOW) for text in texts]


async def started(*additions: "asyncio.Task[list[MemoryStored]]") -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def adding(together: Together, *texts: str, vector: list[float] | None = None) -> "asyncio.Task[list[MemoryStored]]":
    return asyncio.ensure_future(together.add(drafts(*texts, vector=vector)))


@pytest.fixture
def store() -> Store:
    return Store()


async def test_what_comes_while_others_are_under_way_is_stored_together(store: Store) -> None:
    together = Together(store.add, lanes=2, seconds=10)
    tasks = [adding(together, f"{number} a", f"{number} b") for number in range(7)]
    await started(*tasks)
    assert store.calls == [["0 a", "0 b"], ["1 a", "1 b"]]
    store.let.set()
    for number, task in enumerate(tasks):
        assert [each.memory_id for each in await task] == [f"{number} a", f"{number} b"]
    assert len(store.calls) == 3
    assert store.most_at_once == 2


async def test_one_that_cannot_be_stored_takes_no_other_with_it(store: Store) -> None:
    together = Together(store.add, lanes=1, seconds=10)
    tasks = [adding(together, text) for text in ("first", "second", BAD, "third")]
    await started(*tasks)
    store.let.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, Unstorable) for answer in answers] == [False, False, True, False]
    assert store.stored == ["first", "second", "third"]


async def test_whose_way_is_crossed_by_one_of_them_are_stored_one_by_one(store: Store) -> None:
    together = Together(store.add, lanes=1, seconds=10)
    tasks = [adding(together, text) for text in ("first", "second", CROSSED, "third")]
    await started(*tasks)
    store.let.set()
    await asyncio.gather(*tasks)
    assert store.stored == ["first", "second", CROSSED, "third"]


async def test_while_the_store_is_away_all_are_told_and_nothing_is_tried_again(store: Store) -> None:
    together = Together(store.add, lanes=1, seconds=10)
    tasks = [adding(together, text) for text in ("first", "second", AWAY)]
    await started(*tasks)
    store.let.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, StoreAway) for answer in answers] == [False, True, True]
    assert store.calls == [["first"], ["second", AWAY]]


async def test_a_caller_that_leaves_takes_its_own_memory_along_and_nobody_elses(store: Store) -> None:
    together = Together(store.add, lanes=1, seconds=10)
    leading, waiting, gone = adding(together, "leading"), adding(together, "waiting"), adding(together, "gone")
    await started(leading, waiting, gone)
    gone.cancel()
    leading.cancel()
    await asyncio.wait([leading, gone])
    store.let.set()
    assert [each.memory_id for each in await waiting] == ["waiting"]
    await started()
    assert sorted(store.stored) == ["leading", "waiting"], "what was under way may be stored; what waited is not"


async def test_who_was_led_by_one_that_left_is_answered(store: Store) -> None:
    together = Together(store.add, lanes=1, seconds=10)
    first = adding(together, "first")
    await started(first)
    leading, led = adding(together, "leading"), adding(together, "led")
    await started(leading, led)
    store.let.set()
    await first
    await started()
    leading.cancel()
    assert [each.memory_id for each in await led] == ["led"]


async def test_with_and_without_vectors_are_not_mixed_and_none_is_left_waiting(store: Store) -> None:
    together = Together(store.add, lanes=1, seconds=10)
    tasks = [adding(together, str(number), vector=[1.0] if number % 2 else None) for number in range(6)]
    await started(*tasks)
    store.let.set()
    await asyncio.gather(*tasks)
    assert store.calls == [["0"], ["1", "3", "5"], ["2", "4"]]


async def test_no_statement_grows_beyond_its_bound(store: Store) -> None:
    together = Together(store.add, lanes=1, seconds=10)
    tasks = [adding(together, *(f"{number}-{each}" for each in range(40))) for number in range(12)]
    await started(*tasks)
    store.let.set()
    await asyncio.gather(*tasks)
    assert [len(call) for call in store.calls] == [40, MOST_TOGETHER, MOST_TOGETHER, 40]


async def test_large_texts_are_not_gathered_beyond_their_bound_either(store: Store) -> None:
    together = Together(store.add, lanes=1, seconds=10)
    large = "x" * (MOST_CHARACTERS // 2)
    tasks = [adding(together, text) for text in ("first", large, "small", f"{large}y", "another")]
    await started(*tasks)
    store.let.set()
    await asyncio.gather(*tasks)
    assert store.calls == [["first"], [large, "small", "another"], [f"{large}y"]]


async def test_who_waited_for_others_too_long_is_told_and_nothing_of_it_is_stored(store: Store) -> None:
    together = Together(store.add, lanes=1, seconds=0.05)
    leading, waiting = adding(together, "leading"), adding(together, "waiting")
    answers = await asyncio.gather(leading, waiting, return_exceptions=True)
    assert [isinstance(answer, StoreAway) for answer in answers] == [True, True]
    store.let.set()
    assert [each.memory_id for each in await adding(together, "later")] == ["later"]
    assert sorted(store.stored) == ["later", "leading"], "what was under way went on; what waited did not"
