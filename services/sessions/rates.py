"""How many messages a user may store: at most so many within any sixty seconds. The rule, the port, and one process's.

Counted by the second, so a user's last minute is at most 61 numbers. What is counted is what was admitted, whatever
became of it afterwards; what was refused is not.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Protocol

from kit.identity import Owner

WINDOW_SECONDS = 60
USERS = 50_000
"""Whose last minutes are remembered by one process; beyond it, whoever wrote longest ago is forgotten."""


@dataclass(frozen=True, slots=True)
class Full:
    """Why messages are not admitted."""

    used: int
    """Messages within the last minute."""
    retry_after: int
    """Seconds until they will be, if nobody else writes."""


class MessageRates(Protocol):
    """Promises: never more than the limit within any minute, except that more messages than the limit, sent at once,
    are admitted when there were none in the last minute: otherwise they never could be."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def take(self, user: Owner, messages: int, limit: int) -> Full | None:
        """Counts the messages and returns None, or counts nothing and says why."""


def admit(minute: MutableMapping[int, int], now: float, messages: int, limit: int) -> Full | None:
    """`minute`: messages by second, oldest first; what is older than a minute is taken out of it."""
    second = int(now)
    for old in [each for each in minute if each <= now - WINDOW_SECONDS - 1]:
        del minute[old]
    used = sum(minute.values())
    if used == 0 or used + messages <= limit:
        minute[second] = minute.get(second, 0) + messages
        return None
    left = used
    for each, count in minute.items():
        left -= count
        if left == 0 or left + messages <= limit:
            return Full(used, max(1, math.ceil(each + 1 + WINDOW_SECONDS - now)))
    raise AssertionError("an empty minute admits everything")


class LocalMessageRates:
    """This process's alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minutes: OrderedDict[Owner, dict[int, int]] = OrderedDict()

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def take(self, user: Owner, messages: int, limit: int) -> Full | None:
        return admit(self._minute(user), self._clock(), messages, limit)

    def count(self, user: Owner, messages: int) -> None:
        """Of messages that somebody else admitted."""
        minute, second = self._minute(user), int(self._clock())
        minute[second] = minute.get(second, 0) + messages
        while len(minute) > WINDOW_SECONDS + 1:
            del minute[next(iter(minute))]

    def _minute(self, user: Owner) -> dict[int, int]:
        minute = self._minutes.setdefault(user, {})
        self._minutes.move_to_end(user)
        if len(self._minutes) > USERS:
            self._minutes.popitem(last=False)
        return minute
