"""The registry's change feed as one endless iterator: it goes on after cuts and restarts without a gap."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from bureau.errors import ServerFailed, TooMany, Unavailable
from bureau_contracts.registry import Change, ChangePage

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

Ask = Callable[[int], Awaitable[ChangePage]]
"""Asks for what came after a position; waits a while when there is nothing."""


@dataclass(frozen=True)
class Reset:
    """The registry was put back to an older state, or you were away for very long: what was read before may not hold
    any more. Read everything anew; the feed goes on from here."""

    seq: int


FROM_NOW = 10**15
"""A position beyond every real one: the feed answers `reset` at once, and goes on from where it stands."""


async def follow(ask: Ask, after: int) -> AsyncIterator[Change | Reset]:
    """Every thing's newest change after `after`, then each one as it happens. Never ends by itself.

    While there is no answer it asks again, with growing pauses. A refusal (no access, say) comes out as the error that
    it is. Whoever stores a change's `seq` can go on from there in another process.
    """
    async for page in pages(ask, after):
        if page.reset:
            yield Reset(page.seq)
        for change in page.changes:
            yield change


async def pages(ask: Ask, after: int) -> AsyncIterator[ChangePage]:
    """The same page by page, those without a change too: each says that nothing else has changed. A page with `reset`
    has no changes."""
    failures = 0
    while True:
        try:
            page = await ask(after)
        except (Unavailable, ServerFailed, TooMany) as error:
            failures += 1
            await asyncio.sleep(_pause(failures, error.retry_after))
            continue
        failures = 0
        if page.reset or page.seq < after:
            page = ChangePage(changes=[], seq=page.seq, reset=True)
        after = page.seq
        yield page


def _pause(failures: int, retry_after: float | None) -> float:
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10))
    return max(random.uniform(longest / 2, longest), min(retry_after or 0, LONGEST_PAUSE_SECONDS))  # noqa: S311 - jitter
