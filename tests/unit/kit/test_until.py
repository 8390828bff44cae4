"""A block that runs no longer than something else: who ends first, and what comes out."""

import asyncio

import pytest

from kit.tasks import Ended, until


async def forever(cancelled: asyncio.Event | None = None) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        if cancelled:
            cancelled.set()


async def test_when_the_block_ends_first_the_other_is_cancelled_and_awaited() -> None:
    cancelled = asyncio.Event()
    async with until(forever(cancelled)):
        await asyncio.sleep(0)
    assert cancelled.is_set()


async def test_when_the_other_ends_first_the_block_is_cancelled() -> None:
    go, cancelled = asyncio.Event(), asyncio.Event()

    async def end() -> None:
        await go.wait()

    async def run() -> None:
        async with until(end()):
            go.set()
            await forever(cancelled)

    with pytest.raises(Ended):
        await run()
    assert cancelled.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_exception_of_the_other_comes_out() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        async with until(fail()):
            await forever()


async def test_an_exception_of_the_block_comes_out() -> None:
    cancelled = asyncio.Event()

    async def run() -> None:
        async with until(forever(cancelled)):
            await asyncio.sleep(0)
            raise LookupError

    with pytest.raises(LookupError):
        await run()
    assert cancelled.is_set()


async def test_a_cancellation_from_outside_is_not_taken_for_the_end() -> None:
    entered = asyncio.Event()

    async def run() -> None:
        async with until(forever()):
            entered.set()
            await forever()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        await entered.wait()
        task.cancel()
    assert task.cancelled()


async def test_a_timeout_within_the_block_stays_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with until(forever()), asyncio.timeout(0.01):
            await forever()
