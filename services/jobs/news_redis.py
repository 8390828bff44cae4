"""Who waits for news of which job: one subscription connection for all event streams of a process.

A message says only that there is something to read, so a lost one costs a delay (the reader looks again after a while)
and never an event.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit.logs import get_logger
from kit.tasks import background
from services.jobs.library import PREFIX

log = get_logger(__name__)

LISTEN_SECONDS = 1.0
PAUSE_SECONDS = 1.0
_LIVE = f"{PREFIX}live:"
_NOBODY = f"{_LIVE}-"
"""A channel that is never spoken on: a subscription must have one."""


class RedisNews:
    def __init__(self, redis: "Redis") -> None:
        self._channel = redis.pubsub(ignore_subscribe_messages=True)
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._closing = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with background(self._listen()):
            try:
                yield
            finally:
                # While redis-py connects it may swallow the cancellation, and the listener would never end.
                self._closing = True
        await self._channel.aclose()  # type: ignore[no-untyped-call]  # redis-py has not typed it

    @asynccontextmanager
    async def watch(self, *job_ids: str) -> AsyncIterator["_News"]:
        happened = asyncio.Event()
        try:
            for job_id in job_ids:
                watchers = self._watchers.setdefault(job_id, set())
                watchers.add(happened)
                if len(watchers) == 1:
                    await self._tell(self._channel.subscribe, job_id)
            yield _News(happened)
        finally:
            for job_id in job_ids:
                watchers = self._watchers.get(job_id, set())
                watchers.discard(happened)
                if not watchers:
                    self._watchers.pop(job_id, None)
                    await self._tell(self._channel.unsubscribe, job_id)

    async def _tell(self, change: Callable[[str], Awaitable[object]], job_id: str) -> None:
        try:
            await change(_LIVE + job_id)
        except RedisError as error:
            log.warning("job_news_away", error=repr(error))

    async def _listen(self) -> None:
        while not self._closing:
            try:
                if not self._channel.subscribed:
                    await self._channel.subscribe(_NOBODY)
                message = await self._channel.get_message(timeout=LISTEN_SECONDS)
            except RedisError as error:
                log.warning("job_news_away", error=repr(error))
                self._wake_all()
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if message is not None:
                for happened in self._watchers.get(str(message["channel"]).removeprefix(_LIVE), ()):
                    happened.set()

    def _wake_all(self) -> None:
        for watchers in self._watchers.values():
            for happened in watchers:
                happened.set()


class _News:
    def __init__(self, happened: asyncio.Event) -> None:
        self._happened = happened

    async def wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._happened.wait()
        except TimeoutError:
            return
        self._happened.clear()
