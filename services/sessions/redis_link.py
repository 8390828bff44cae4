"""A Redis that may be away: every question has a short time-out, and after a failure nobody asks until it is back.

Whoever asks says what holds when there is no answer. A hanging Redis so costs one time-out, and not one per request.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

from redis.asyncio import Redis

from kit.health import Degraded
from kit.logs import get_logger
from kit.redis import REDIS_FAILURES, connect, drop_idle
from kit.tasks import background, every

log = get_logger(__name__)

T = TypeVar("T")

TIMEOUT_SECONDS = 0.25
LOOK_AGAIN_SECONDS = 0.5
LOOK_SECONDS = 2.0
"""How long it takes to be back at most: enough to pass by Sentinels and nodes that are dead. Nobody waits for it."""
CONNECTIONS = 32


class RedisLink:
    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._timeout = timeout_seconds
        # The time-out is ours, around the whole question.
        self.redis: Redis = connect(url, timeout_seconds=None, connections=CONNECTIONS * 2)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._away = False
        self._when_back: list[Callable[[], Awaitable[None]]] = []
        self._users = 0
        self._life = AsyncExitStack()

    def when_back(self, work: Callable[[], Awaitable[None]]) -> None:
        """Calls `work` each time that Redis answers again."""
        self._when_back.append(work)

    async def open(self) -> None:
        """Opened once for each of its users, closed by the last of them."""
        self._users += 1
        if self._users == 1:
            await self._life.enter_async_context(background(every(LOOK_AGAIN_SECONDS, self._look, name="redis_link")))

    async def close(self) -> None:
        self._users -= 1
        if self._users == 0:
            await self._life.aclose()
            await self.redis.aclose()

    @property
    def is_away(self) -> bool:
        return self._away

    async def ask(self, question: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """The answer; `otherwise` when there is none within the time-out, or Redis was away a moment ago."""
        if self._away:
            return otherwise
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                return await question()
        except REDIS_FAILURES as error:
            if not self._away:
                log.warning("redis_away", error=repr(error))
            self._away = True
            return otherwise

    async def ping(self) -> str:
        """For `/health`. Raises Degraded: whatever Redis does here, something slower does as well."""
        if self._away:
            raise Degraded("Redis is away: sessions are read from the database, limits are counted per process")
        await self.redis.ping()
        return ""

    async def _look(self) -> None:
        """Asks a Redis that is away whether it is back, so that no request has to find out."""
        if not self._away:
            return
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await drop_idle(self.redis)
                await self.redis.ping()
        except REDIS_FAILURES:
            return
        self._away = False
        log.info("redis_back")
        for work in self._when_back:
            await work()
