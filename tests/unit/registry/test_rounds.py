"""Asking many things again and again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from kit.tasks import background
from services.registry.rounds import Rounds
from tests.waiting import eventually


@asynccontextmanager
async def running(
    ask: Callable[[str], Awaitable[float | None]], at_once: int = 2, per_second: float = 1000
) -> AsyncIterator[Rounds]:
    rounds = Rounds("test", ask, at_once=at_once, per_second=per_second)
    async with background(rounds.run()):
        await asyncio.sleep(0)
        yield rounds


class Asked:
    """Counts who is asked, and how many at a time; each waits for the gate."""

    def __init__(self, again: float | None = 1000) -> None:
        self.gate = asyncio.Event()
        self.times: Counter[str] = Counter()
        self.together = self.most_together = 0
        self.again = again

    async def __call__(self, key: str) -> float | None:
        self.times[key] += 1
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        try:
            await self.gate.wait()
        finally:
            self.together -= 1
        return self.again


async def test_a_few_are_asked_at_once_and_all_are_asked() -> None:
    asked = Asked()
    async with running(asked) as rounds:
        for number in range(20):
            rounds.put(str(number))
        await eventually(lambda: asked.together == 2)
        asked.gate.set()
        await eventually(lambda: len(asked.times) == 20)
    assert asked.most_together == 2
    assert set(asked.times.values()) == {1}


async def test_one_thing_is_asked_once_at_a_time_and_again_for_whoever_came_meanwhile() -> None:
    asked = Asked()
    async with running(asked) as rounds:
        rounds.put("a")
        await eventually(lambda: asked.together == 1)
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(rounds.now("a"))
            await asyncio.sleep(0)
            assert asked.times["a"] == 1
            asked.gate.set()
    assert asked.times["a"] == 2
    assert asked.most_together == 1


async def test_a_thing_comes_round_again_after_what_it_answered() -> None:
    asked = Asked(again=0.001)
    asked.gate.set()
    async with running(asked) as rounds:
        rounds.put("a")
        await eventually(lambda: asked.times["a"] >= 3)


async def test_many_things_come_round_less_often() -> None:
    asked = Asked(again=0.0)
    asked.gate.set()
    async with running(asked, per_second=0.001) as rounds:
        rounds.put("a")
        await eventually(lambda: asked.times["a"] == 1)
        await rounds.now("b")
        assert asked.times == {"a": 1, "b": 1}


async def test_what_is_dropped_is_not_asked_and_nobody_waits_for_it() -> None:
    asked = Asked()
    async with running(asked, at_once=1) as rounds:
        rounds.put("a")
        await eventually(lambda: asked.together == 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(rounds.now("b"))
            await asyncio.sleep(0)
            rounds.drop("b")
        asked.gate.set()
        await rounds.now("c")
    assert "b" not in asked.times


async def test_a_failure_ends_neither_the_round_nor_the_wait() -> None:
    async def ask(key: str) -> float | None:
        if key == "bad":
            raise ValueError(key)
        return None

    async with running(ask) as rounds:
        await rounds.now("bad")
        await rounds.now("good")


async def test_the_end_ends_what_is_asked_and_whoever_waits() -> None:
    asked = Asked()
    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        async with running(asked) as rounds:
            waiting = group.create_task(rounds.now("a"))
            await eventually(lambda: asked.together == 1)
        assert asked.together == 0
        await waiting
