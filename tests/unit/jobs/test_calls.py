"""Calls to Redis that go out together: whose answer is whose, and what becomes of those whose connection dies."""

import asyncio
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError, ResponseError

from services.jobs.calls_redis import Calls
from services.jobs.errors import StoreAway
from services.jobs.store import Bounds


class FakePipeline:
    def __init__(self, server: "FakeServer") -> None:
        self._server = server
        self._calls: list[tuple[str, ...]] = []

    def fcall(self, function: str, keys: int, *arguments: str | bytes) -> None:
        said = [each.decode() if isinstance(each, bytes) else each for each in arguments[keys:]]
        self._calls.append((function.rsplit("_", 1)[1], *said))

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        self._server.batches.append(self._calls)
        self._server.asked.set()
        await self._server.going_on.wait()
        if self._server.broken:
            raise TypeError("nobody foresaw this")
        if self._server.dead:
            raise ConnectionError("gone")
        return [self._server.answer(call) for call in self._calls]


class FakeServer:
    """Answers each call with itself, once it knows the library."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, ...]]] = []
        self.asked, self.going_on = asyncio.Event(), asyncio.Event()
        self.dead, self.broken, self.loaded = False, False, True
        self.loads = 0

    def pipeline(self, *, transaction: bool) -> FakePipeline:
        assert not transaction
        return FakePipeline(self)

    async def function_load(self, text: str, *, replace: bool) -> None:
        assert text.startswith("#!lua name=bureau_jobs_")
        assert replace
        self.loads, self.loaded = self.loads + 1, True

    async def fcall(self, function: str, keys: int, *arguments: str) -> int:
        assert function.endswith("_recount")
        assert self.loaded
        return 1

    def answer(self, call: tuple[str, ...]) -> Any:
        if not self.loaded:
            return ResponseError("Function not found")
        return ResponseError("no") if call[0] == "refused" else list(call)


def calls_of(server: FakeServer) -> Calls:
    return Calls(cast("Redis", server), Bounds())


async def test_what_is_called_while_a_batch_is_under_way_goes_out_with_the_next() -> None:
    server = FakeServer()
    async with calls_of(server).open() as call, asyncio.TaskGroup() as group:
        first = group.create_task(call("read", "1"))
        await server.asked.wait()
        others = [group.create_task(call("read", str(number))) for number in range(2, 5)]
        await asyncio.sleep(0)
        server.going_on.set()
        assert await first == ["read", "1"]
        assert [await each for each in others] == [["read", "2"], ["read", "3"], ["read", "4"]]
    assert [len(batch) for batch in server.batches] == [1, 3]


async def test_one_that_is_refused_takes_no_other_with_it() -> None:
    server = FakeServer()
    server.going_on.set()
    async with calls_of(server).open() as call:
        answers = await asyncio.gather(call("read"), call("refused"), return_exceptions=True)
    assert list(answers[:1]) == [["read"]]
    assert isinstance(answers[1], ResponseError)


async def test_a_server_that_does_not_know_the_library_is_given_it() -> None:
    server = FakeServer()
    server.going_on.set()
    server.loaded = False
    async with calls_of(server).open() as call:
        answers = await asyncio.gather(call("read", "1"), call("read", "2"))
        assert list(answers) == [["read", "1"], ["read", "2"]]
    assert server.loads == 1


async def test_all_that_waits_hears_of_a_connection_that_dies() -> None:
    server = FakeServer()
    async with calls_of(server).open() as call:
        waiting = asyncio.gather(call("read", "1"), call("read", "2"), return_exceptions=True)
        server.dead = True
        server.going_on.set()
        answers = await waiting
        assert [type(each) for each in answers] == [StoreAway, StoreAway]
        server.dead = False
        assert await call("read", "3") == ["read", "3"]


async def test_nobody_waits_for_calls_that_were_closed() -> None:
    server = FakeServer()
    calls = calls_of(server)
    async with calls.open() as call:
        waiting = asyncio.gather(call("read", "1"), return_exceptions=True)
        await server.asked.wait()
    assert [type(each) for each in await waiting] == [StoreAway]
    with pytest.raises(StoreAway):
        await calls("read")


async def test_a_caller_that_leaves_disturbs_nobody() -> None:
    server = FakeServer()
    async with calls_of(server).open() as call:
        leaving = asyncio.ensure_future(call("read", "1"))
        staying = asyncio.ensure_future(call("read", "2"))
        await server.asked.wait()
        leaving.cancel()
        server.going_on.set()
        assert await staying == ["read", "2"]


async def test_what_cannot_be_encoded_is_its_callers_own_mistake() -> None:
    server = FakeServer()
    server.going_on.set()
    async with calls_of(server).open() as call:
        answers = await asyncio.gather(call("read", "1"), call("read", "\udce9"), return_exceptions=True)
        assert list(answers[:1]) == [["read", "1"]]
        assert isinstance(answers[1], UnicodeEncodeError)
        assert await call("read", "2") == ["read", "2"]


async def test_a_failure_that_nobody_foresaw_is_told_to_its_callers_and_ends_nothing() -> None:
    server = FakeServer()
    server.going_on.set()
    async with calls_of(server).open() as call:
        server.broken = True
        with pytest.raises(TypeError):
            await call("read", "1")
        server.broken = False
        assert await call("read", "2") == ["read", "2"]
