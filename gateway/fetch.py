"""Small documents that the gateway reads from the services for itself: in nobody's name, bounded in time and size."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from gateway.errors import UpstreamBroken, UpstreamSilent
from gateway.upstream import Call, Upstream
from kit.telemetry import outgoing_headers

MAX_BYTES = 8 * 1024 * 1024

T = TypeVar("T")


async def fetch(upstream: Upstream, service: str, path: str, *, seconds: float) -> tuple[int, bytes]:
    """Status and body. Raises what an Upstream raises."""
    headers = [(name.encode(), value.encode()) for name, value in outgoing_headers().items()]
    body = bytearray()
    try:
        async with asyncio.timeout(seconds), upstream.exchange(Call(service, "GET", path, headers)) as reply:
            async for part in reply.body():
                body += part
                if len(body) > MAX_BYTES:
                    raise UpstreamBroken(f"{service} answered {path} with more than {MAX_BYTES} bytes")
            return reply.status, bytes(body)
    except TimeoutError as error:
        raise UpstreamSilent(f"{service} did not answer within {seconds:g} s") from error


class Remembered(Generic[T]):
    """A value that is made again once it is old. Callers that arrive meanwhile share one making of it.

    So an open page cannot be used to keep every service busy.
    """

    def __init__(
        self, make: Callable[[], Awaitable[tuple[T, float]]], now: Callable[[], float] = time.monotonic
    ) -> None:
        """`make` gives the value and for how many seconds it holds."""
        self._make, self._now = make, now
        self._making = asyncio.Lock()
        self._value: T | None = None
        self._until = float("-inf")

    async def get(self) -> T:
        if self._value is None or self._now() >= self._until:
            async with self._making:
                if self._value is None or self._now() >= self._until:
                    self._value, seconds = await self._make()
                    self._until = self._now() + seconds
        return self._value
