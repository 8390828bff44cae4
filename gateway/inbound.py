"""The client's side of one request: its body, read once and within its limit, and whether the client is still there."""

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.types import Message, Receive, Scope

from gateway.errors import RequestTooSlow
from kit.errors import BadRequest, Refusal, TooLarge
from kit.middleware import header


class Inbound:
    """Whoever reads the body also notices that the client leaves within it; afterwards `left` does."""

    def __init__(self, scope: Scope, receive: Receive, *, max_bytes: int, pause_seconds: float) -> None:
        """Raises TooLarge at once when the announced length is over the limit."""
        self._receive, self._max, self._pause = receive, max_bytes, pause_seconds
        declared = header(scope, b"content-length")
        self.length = int(declared) if declared else None
        """The announced length; None when there is none, or the body comes in chunks."""
        if self.length is not None and self.length > max_bytes:
            raise TooLarge(f"the body has {declared[:20]} bytes, at most {max_bytes} are passed on")
        self._none = not self.length and not header(scope, b"transfer-encoding")
        self._size = 0
        self._over = asyncio.Event()
        self._gone = False
        self.failure: Refusal | None = None
        """Why the body broke off: the HTTP client that was sending it cannot say."""
        self.on_progress: Callable[[], None] | None = None
        """Called whenever a part has arrived."""

    async def body(self) -> bytes | AsyncIterator[bytes]:
        """The whole body when it has arrived already, as most have; else an iterator over it."""
        if self._none:
            self._over.set()
            return b""
        first, more = await self._part()
        return self._rest(first) if more else first

    async def left(self) -> None:
        """Returns when the client has left."""
        await self._over.wait()
        while not self._gone:
            self._gone = (await self._receive())["type"] == "http.disconnect"

    async def _rest(self, part: bytes) -> AsyncIterator[bytes]:
        more = True
        while more:
            if part:
                yield part
            part, more = await self._part()
            if self.on_progress:
                self.on_progress()
        if part:
            yield part

    async def _part(self) -> tuple[bytes, bool]:
        try:
            message = await self._next()
            self._size += len(message.get("body", b""))
            if self._size > self._max:
                raise TooLarge(f"the body has more than {self._max} bytes")
        except Refusal as refusal:
            self.failure = refusal
            raise
        if not message.get("more_body", False):
            self._over.set()
        return message.get("body", b""), message.get("more_body", False)

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._pause):
                message = await self._receive()
        except TimeoutError as error:
            raise RequestTooSlow(f"nothing more of the body came for {self._pause:g} s") from error
        if message["type"] == "http.disconnect":
            self._gone = True
            self._over.set()
            raise BadRequest("the client left within its body", code="body_cut")
        return message
