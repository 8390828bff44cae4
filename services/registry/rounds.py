"""Asks many things again and again: a few at once, one at a time each, and at once when somebody wants to know."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from kit.logs import get_logger

log = get_logger(__name__)

JITTER = 0.2
"""Each pause is up to this share longer or shorter, so that what began together does not stay together."""
AFTER_A_FAILURE = 300.0
"""Seconds to the next time when asking raised, which it should not."""

Ask = Callable[[str], Awaitable[float | None]]
"""Asks one thing; answers after how many seconds to ask again, None for not again."""


@dataclass
class _Entry:
    due: float
    running: bool = False
    again: bool = False
    """Came up again while it was being asked."""
    waiting: list["asyncio.Future[None]"] = field(default_factory=list)


class Rounds:
    def __init__(self, name: str, ask: Ask, *, at_once: int, per_second: float) -> None:
        """`name` is for the log. At most `at_once` are asked together, and about `per_second` in the long run: where
        there are more, each has its turn less often."""
        self._name, self._ask, self._at_once, self._per_second = name, ask, at_once, per_second
        self._entries: dict[str, _Entry] = {}
        self._heap: list[tuple[float, str]] = []
        self._woken = asyncio.Event()
        self._running = 0
        self._open = False

    def put(self, key: str, after: float = 0.0) -> None:
        """From now on this is asked, in `after` seconds for the first time, or sooner if it is due sooner."""
        due = time.monotonic() + after
        entry = self._entries.setdefault(key, _Entry(due))
        if entry.running:
            entry.again = True
            return
        entry.due = min(entry.due, due)
        heappush(self._heap, (entry.due, key))
        self._woken.set()

    def drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            _tell(entry)

    async def now(self, key: str) -> None:
        """Asks it, and returns when it was asked; at once when nobody is going round."""
        if not self._open:
            return
        self.put(key)
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._entries[key].waiting.append(asked)
        await asked

    async def run(self) -> None:
        """Goes round for ever; cancelling it ends what is being asked."""
        self._open = True
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._woken.clear()
                    pause = self._start_due(group)
                    try:
                        async with asyncio.timeout(pause):
                            await self._woken.wait()
                    except TimeoutError:
                        continue
        finally:
            self._open = False
            for entry in self._entries.values():
                _tell(entry)

    def _start_due(self, group: asyncio.TaskGroup) -> float | None:
        """Starts what is due; answers in how many seconds the next thing is. None: when something wakes us."""
        while self._heap and self._running < self._at_once:
            due, key = self._heap[0]
            entry = self._entries.get(key)
            if entry is None or entry.running or entry.due != due:  # it was dropped, or put forward
                heappop(self._heap)
                continue
            if (left := due - time.monotonic()) > 0:
                return left
            heappop(self._heap)
            entry.running = True
            self._running += 1
            group.create_task(self._ask_one(key, entry))
        return None

    async def _ask_one(self, key: str, entry: _Entry) -> None:
        waiting, entry.waiting = entry.waiting, []
        seconds: float | None = AFTER_A_FAILURE
        try:
            seconds = await self._ask(key)
        except Exception as error:  # noqa: BLE001 - the outermost layer of periodic work: one failure must not end it
            log.warning("periodic_work_failed", work=self._name, key=key, error=repr(error))
        finally:
            self._running -= 1
            entry.running = False
            for each in waiting:
                if not each.done():
                    each.set_result(None)
            self._next(key, entry, seconds)
            self._woken.set()

    def _next(self, key: str, entry: _Entry, seconds: float | None) -> None:
        current = self._entries.get(key)
        if current is not entry:
            return  # dropped meanwhile; whoever put it again has its own entry
        if entry.again or entry.waiting:
            entry.again, entry.due = False, time.monotonic()
        elif seconds is None:
            del self._entries[key]
            return
        else:
            pause = max(seconds, len(self._entries) / self._per_second)
            entry.due = time.monotonic() + pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        heappush(self._heap, (entry.due, key))


def _tell(entry: _Entry) -> None:
    for each in entry.waiting:
        if not each.done():
            each.set_result(None)
    entry.waiting = []
