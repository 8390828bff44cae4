"""Calls of the jobs' functions in Redis. What is called in the same moment goes out together, and while it is under way
the next ones gather: one round trip, and one sync of the append-only file, for many.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError, ResponseError

from kit.logs import get_logger
from kit.redis import REDIS_FAILURES
from kit.tasks import background
from services.jobs.library import PREFIX, Library
from services.jobs.redis_away import store_away
from services.jobs.store import Bounds

log = get_logger(__name__)

UNDER_WAY = 2
"""Round trips at once: while the server syncs for one it can read the next."""
MOST_TOGETHER = 64
"""Calls of one round trip: the first of them waits for the last."""


@dataclass(frozen=True, slots=True)
class _Call:
    function: str
    arguments: Sequence[bytes | int]
    answer: "asyncio.Future[Any]"

    def settle(self, answer: Any) -> None:
        if self.answer.done():
            return  # whoever called is gone
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class Calls:
    """Of one process. Nothing is called but within `open`."""

    def __init__(self, redis: "Redis", bounds: Bounds) -> None:
        self._redis, self._library = redis, Library(bounds)
        self._waiting: list[_Call] = []
        self._arrived = asyncio.Event()
        self._opened = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Calls"]:
        self._opened = True
        try:
            async with background(*(self._serve() for _ in range(UNDER_WAY))):
                yield self
        finally:
            self._opened = False
            self._give_up(self._waiting)

    async def __call__(self, name: str, *arguments: str | int) -> Any:
        """What the function answers. Raises StoreAway: then it may have been called, or not; UnicodeEncodeError."""
        with store_away():
            if not self._opened:
                raise ConnectionError("closed")
            # Here, and not when it is sent with others: what cannot be encoded is its caller's own mistake.
            sent = [each.encode() if isinstance(each, str) else each for each in arguments]
            call = _Call(self._library.function(name), sent, asyncio.get_running_loop().create_future())
            self._waiting.append(call)
            self._arrived.set()
            return await call.answer

    async def _serve(self) -> None:
        while True:
            await self._arrived.wait()
            batch, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            if not self._waiting:
                self._arrived.clear()
            if not batch:
                continue  # another one has it
            try:
                await self._send(batch)
            finally:
                self._give_up(batch)

    async def _send(self, batch: list[_Call]) -> None:
        try:
            answers = await self._ask(batch)
            missing = [call for call, answer in zip(batch, answers, strict=True) if _unknown(answer)]
            if missing:
                # A new Redis, or a new version of us.
                await self._redis.function_load(self._library.text, replace=True)
                await self._redis.fcall(self._library.function("recount"), 1, PREFIX)
                again = iter(await self._ask(missing))
                answers = [next(again) if _unknown(answer) else answer for answer in answers]
        except REDIS_FAILURES as error:
            answers = [error] * len(batch)
        except Exception as error:
            # The outermost layer of all calls: one that breaks the sender would leave everybody else waiting for ever.
            log.exception("calls_broke")
            answers = [error] * len(batch)
        for call, answer in zip(batch, answers, strict=True):
            call.settle(answer)

    async def _ask(self, batch: list[_Call]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for call in batch:
            pipeline.fcall(call.function, 1, PREFIX, *call.arguments)
        return list(await pipeline.execute(raise_on_error=False))

    @staticmethod
    def _give_up(calls: list[_Call]) -> None:
        for call in calls:
            call.settle(ConnectionError("closed"))


def _unknown(answer: Any) -> bool:
    return isinstance(answer, ResponseError) and "Function not found" in str(answer)
