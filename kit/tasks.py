"""Background work that somebody owns: started with a server, cancelled and awaited when it stops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar, overload

from kit.logs import get_logger

log = get_logger(__name__)

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


@asynccontextmanager
async def background(*works: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Runs the given coroutines while the block runs; leaving it cancels them and waits until they have ended."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                log.error("background_work_failed", error=repr(result))


_unbroken: set[asyncio.Future[Any]] = set()


async def unbroken(work: Awaitable[A]) -> A:
    """Awaits the work. Whoever waits may be cancelled; the work is not, and its failure then disturbs nobody. For what
    must come to its own end, within a time-out of its own."""
    task = asyncio.ensure_future(work)
    _unbroken.add(task)
    task.add_done_callback(_looked_at)
    return await asyncio.shield(task)


def _looked_at(task: asyncio.Future[Any]) -> None:
    _unbroken.discard(task)
    if not task.cancelled():
        task.exception()


async def every(seconds: float, work: Callable[[], Awaitable[object]], *, name: str) -> None:
    """Calls `work` again and again, `seconds` apart, for ever. A failure is logged and the next call comes as usual."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the outermost layer of periodic work: one failure must not end it
            log.warning("periodic_work_failed", work=name, error=repr(error))


class Ended(Exception):
    """What a block ran along with has ended before the block did."""


class until:  # noqa: N801 - reads as a keyword: `async with until(client_left()): ...`
    """Runs a block no longer than `end` runs: when `end` returns first, the block is cancelled and Ended is raised.

    An exception of `end` comes out in place of Ended. When the block leaves first, `end` is cancelled and awaited.
    """

    def __init__(self, end: Coroutine[object, object, None]) -> None:
        self._end, self._cancelled = end, False

    async def __aenter__(self) -> None:
        block = asyncio.current_task()
        assert block is not None
        self._block, self._cancelling = block, block.cancelling()
        self._watch = asyncio.create_task(self._end)
        self._watch.add_done_callback(self._cancel_block)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watch.remove_done_callback(self._cancel_block)
        # As in asyncio.timeout: only our own cancellation is turned into an answer.
        ours = self._cancelled and self._block.uncancel() <= self._cancelling
        if not self._watch.done():
            self._watch.cancel()
            await asyncio.wait([self._watch])
        failure = None if self._watch.cancelled() else self._watch.exception()
        if kind is None or (ours and kind is asyncio.CancelledError):
            if failure is not None:
                raise failure from None
            if kind is not None:
                raise Ended from None

    def _cancel_block(self, _: asyncio.Task[None]) -> None:
        self._cancelled = True
        self._block.cancel()


@overload
async def together(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B], /) -> tuple[A, B]: ...


@overload
async def together(
    first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B], third: Coroutine[Any, Any, C], /
) -> tuple[A, B, C]: ...


@overload
async def together(*works: Coroutine[Any, Any, A]) -> tuple[A, ...]: ...


async def together(*works: Coroutine[Any, Any, Any]) -> tuple[Any, ...]:
    """Runs independent work at the same time and returns the results in order.

    The first failure ends all of it, and comes out as itself and not in a group: callers handle it as if the works had
    run one after the other.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return tuple(task.result() for task in tasks)
