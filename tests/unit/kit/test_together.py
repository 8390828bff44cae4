"""Independent work at the same time."""

import asyncio

import pytest

from kit.tasks import together


async def test_results_come_back_in_order_and_the_works_run_at_the_same_time() -> None:
    meeting = asyncio.Barrier(2)

    async def meet(value: int) -> int:
        async with asyncio.timeout(5):
            await meeting.wait()  # returns only when both are here
        return value

    assert await together(meet(1), meet(2)) == (1, 2)


async def test_the_first_failure_comes_out_as_itself_and_ends_the_others() -> None:
    ended = asyncio.Event()

    async def fail() -> None:
        raise LookupError("not there")

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(LookupError, match="not there"):
        await together(wait(), fail())
    assert ended.is_set()
