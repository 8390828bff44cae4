"""One turn at a time in a session: who comes later waits in line, for a bounded time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from bureau.errors import BureauError, Conflict, NotFound
from kit.identity import current_principal
from kit.ids import new_id
from kit.logs import get_logger
from kit.tasks import background, every
from services.runtime.errors import SessionBusy, SessionNotFound
from services.runtime.ports import Conversations

log = get_logger(__name__)

HELD = "lease_held"
EXPIRED = "session_expired"
"""The code with which the sessions say that somebody else is writing."""
SHORTEST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5


@dataclass
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    people: int = 0


class Leases:
    """Messages that reach this process wait in order of arrival; among several processes the lease alone decides."""

    def __init__(self, conversations: Conversations, *, ttl_seconds: float, wait_seconds: float, waiting: int) -> None:
        self._conversations = conversations
        self._ttl, self._wait, self._waiting = ttl_seconds, wait_seconds, waiting
        self._holder = new_id("runtime")
        self._lines: dict[tuple[str, str], _Line] = {}

    @asynccontextmanager
    async def hold(self, session_id: str) -> AsyncIterator[int]:
        """The fencing token; the lease is renewed while the block runs. Raises SessionBusy or SessionNotFound."""
        async with self._in_line(session_id) as until:
            token = await self._acquire(session_id, until)
            try:
                async with background(every(self._ttl / 3, lambda: self._renew(session_id, token), name="lease")):
                    yield token
            finally:
                await self._release(session_id, token)

    @asynccontextmanager
    async def _in_line(self, session_id: str) -> AsyncIterator[float]:
        until = asyncio.get_running_loop().time() + self._wait
        key = (current_principal().tenant, session_id)
        line = self._lines.setdefault(key, _Line())
        if line.people > self._waiting:
            raise self._busy()
        line.people += 1
        try:
            try:
                async with asyncio.timeout_at(until):
                    await line.lock.acquire()
            except TimeoutError:
                raise self._busy() from None
            try:
                yield until
            finally:
                line.lock.release()
        finally:
            line.people -= 1
            if not line.people:
                del self._lines[key]

    async def _acquire(self, session_id: str, until: float) -> int:
        pause = SHORTEST_PAUSE_SECONDS
        while True:
            try:
                lease = await self._conversations.acquire_lease(session_id, self._holder, ttl_seconds=self._ttl)
                return lease.fencing_token
            except NotFound as error:
                raise SessionNotFound(f"there is no session {session_id!r}") from error
            except Conflict as error:
                if error.code == EXPIRED:  # who comes back after long goes on where they were
                    await self._conversations.resume(session_id)
                    continue
                if error.code != HELD:
                    raise
                if asyncio.get_running_loop().time() + pause >= until:
                    raise self._busy() from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _renew(self, session_id: str, token: int) -> None:
        await self._conversations.renew_lease(session_id, token, ttl_seconds=self._ttl)

    async def _release(self, session_id: str, token: int) -> None:
        # A lease that cannot be given back ends by itself; the turn was recorded, which is what counts.
        with suppress(BureauError):
            await self._conversations.release_lease(session_id, token)

    def _busy(self) -> SessionBusy:
        return SessionBusy("another message of this session is still being answered", retry_after=2)
