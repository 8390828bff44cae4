"""What asyncio says of exceptions that nobody looked at."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def no_complaints() -> AsyncIterator[None]:
    """Fails when asyncio logged a future's or a callback's exception meanwhile."""
    loop, complaints = asyncio.get_running_loop(), list[str]()

    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(f"{context['message']}: {context.get('exception')!r} {context.get('future')!r}")

    loop.set_exception_handler(note)
    try:
        yield
        gc.collect()  # a future complains when it goes
    finally:
        loop.set_exception_handler(None)
    if complaints:
        raise AssertionError("\n".join(complaints))
