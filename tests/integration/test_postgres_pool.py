"""The pool of `kit.postgres`, where the other side hangs up."""

import asyncio

import asyncpg

from kit.postgres import open_pool
from tests.complaints import no_complaints
from tests.servers import listening
from tests.waiting import eventually


async def test_an_attempt_that_nobody_waits_for_any_more_ends_by_itself_without_a_complaint() -> None:
    """Broken off at each step of connecting to a server that hangs up at once."""
    hung_up = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hung_up
        writer.close()
        hung_up += 1

    async with listening(hang_up) as url, no_complaints():
        pool = await open_pool(url.replace("http", "postgresql") + "/none")

        async def connect() -> None:
            async with pool.acquire(timeout=1):
                raise AssertionError("nobody is there")

        for steps in range(40):
            caller = asyncio.create_task(connect())
            for _ in range(steps):
                await asyncio.sleep(0)
            caller.cancel()
            (outcome,) = await asyncio.gather(caller, return_exceptions=True)
            assert isinstance(outcome, asyncio.CancelledError | OSError | asyncpg.PostgresError), outcome
        await eventually(lambda: hung_up >= 30)
        pool.terminate()
