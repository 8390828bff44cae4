"""Work that goes on to its end when whoever waits for it is gone."""

import asyncio

import pytest

from kit.tasks import unbroken


async def test_whoever_waits_gets_what_the_work_brings() -> None:
    async def work() -> int:
        return 7

    async def failing() -> None:
        raise ValueError("no")

    assert await unbroken(work()) == 7
    with pytest.raises(ValueError, match="no"):
        await unbroken(failing())


async def test_the_work_ends_though_its_caller_is_cancelled_and_its_failure_disturbs_nobody() -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go.wait()
        ended.set()
        raise ValueError("nobody asks")

    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    caller = asyncio.ensure_future(unbroken(work()))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go.set()
    await ended.wait()
    await asyncio.sleep(0)
    assert complaints == []
