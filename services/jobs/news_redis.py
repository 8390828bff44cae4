"""Who waits for news of which job: one subscription connection for all event streams of a process.

A message says only that there is something to read, so a lost one costs a delay (the reader looks again after a while)
and never an event.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis

from kit.logs import get_logger
from kit.redis import REDIS_FAILURES
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
        self._redis = redis
        self._channel = redis.pubsub(ignore_subscribe_messages=True)
        self._open = False
        # Two that subscribe at once would each open a connection.
        self._turn = asyncio.Lock()
        self._watchers: dict[str, set[asyncio.Event]] = {}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with background(self._listen()):
            yield
        await self._close()

    @asynccontextmanager
    async def watch(self, *job_ids: str) -> AsyncIterator["_News"]:
        happened = asyncio.Event()
        try:
            for job_id in job_ids:
                watchers = self._watchers.setdefault(job_id, set())
                watchers.add(happened)
                if len(watchers) == 1:
                    await self._tell("subscribe", job_id)
            yield _News(happened)
        finally:
            for job_id in job_ids:
                watchers = self._watchers.get(job_id, set())
                watchers.discard(happened)
                if not watchers:
                    self._watchers.pop(job_id, None)
                    await self._tell("unsubscribe", job_id)

    async def _tell(self, change: str, job_id: str) -> None:
        """Nothing to do while there is no subscription: the next one begins with all who are watched."""
        try:
            async with self._turn:
                if self._open:
                    await getattr(self._channel, change)(_LIVE + job_id)
        except REDIS_FAILURES as error:
            log.warning("job_news_away", error=repr(error))

    async def _listen(self) -> None:
        while True:
            try:
                if not self._open:
                    await self._subscribe()
                message = await self._channel.get_message(timeout=LISTEN_SECONDS)
            except REDIS_FAILURES as error:
                log.warning("job_news_away", error=repr(error))
                await self._close()
                self._wake_all()
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if message is not None:
                for happened in self._watchers.get(str(message["channel"]).removeprefix(_LIVE), ()):
                    happened.set()

    async def _subscribe(self) -> None:
        async with self._turn:
            # A cluster's client learns with an ordinary command who is there; a subscription stays where it is.
            await self._redis.exists(_NOBODY)
            self._channel = self._redis.pubsub(ignore_subscribe_messages=True)
            await self._channel.subscribe(_NOBODY, *(_LIVE + job_id for job_id in self._watchers))
            self._open = True
        # What was said before that, nobody heard.
        self._wake_all()

    async def _close(self) -> None:
        self._open = False
        with suppress(*REDIS_FAILURES):
            await self._channel.aclose()  # type: ignore[no-untyped-call]  # redis-py has not typed it

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
