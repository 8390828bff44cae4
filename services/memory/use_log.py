"""The log of uses: noted by a search without waiting, buffered within a second, written together every few seconds.

Without its buffer it keeps a bounded number in the process; a kill then loses those, and no memory.
"""

from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from bureau_contracts.memory import Memory, MemoryHit
from bureau_contracts.memory_usage import HarmfulMemory, MemoryUse, ReportUse
from kit.clock import Clock
from kit.errors import Invalid
from kit.identity import Owner, Principal
from kit.ids import new_id
from kit.logs import get_logger
from services.memory.store import StoreAway
from services.memory.uses import BufferAway, Report, Use, UseBuffer, UseStore

log = get_logger(__name__)

MAX_NOTED = 10_000
"""Uses that wait in the process while nobody takes them; then the oldest go."""
QUERY_CHARACTERS = 2_000
AT_ONCE = 500
PURGED_AT_ONCE = 5_000


class UseLog:
    def __init__(self, buffer: UseBuffer, store: UseStore, clock: Clock, keep: timedelta) -> None:
        self._buffer, self._store, self._clock, self._keep = buffer, store, clock, keep
        self._noted: deque[Use] = deque(maxlen=MAX_NOTED)

    def note(self, owner: Owner, trace_id: str, agent: str | None, query: str, hits: Sequence[MemoryHit]) -> None:
        given = tuple((hit.memory.memory_id, hit.score) for hit in hits)
        use = Use(new_id("use"), owner, trace_id, agent, query[:QUERY_CHARACTERS], self._clock.now(), given)
        self._noted.append(use)

    async def write(self) -> None:
        """Hands what was noted to the buffer; straight to the store while that is away."""
        while self._noted:
            uses = [self._noted.popleft() for _ in range(min(AT_ONCE, len(self._noted)))]
            try:
                await self._buffer.push(uses)
            except BufferAway:
                try:
                    await self._store.record(uses)
                except StoreAway:
                    self._noted.extendleft(reversed(uses[: MAX_NOTED - len(self._noted)]))
                    log.info("uses_wait", uses=len(self._noted))
                    return

    async def flush(self) -> None:
        """Writes what is buffered, by any process, to the store."""
        await self.write()
        try:
            while uses := await self._buffer.take(AT_ONCE):
                await self._store.record(uses)
                await self._buffer.drop(uses)
        except (BufferAway, StoreAway) as error:
            log.info("uses_not_written", reason=repr(error))

    async def report(self, principal: Principal, report: ReportUse) -> int:
        """Marks what a turn was given; how many. Raises StoreAway."""
        await self.flush()
        ids = None if report.memory_ids is None else tuple(report.memory_ids)
        made = Report(report.trace_id, ids, report.helped, report.note, self._clock.now())
        return await self._store.report(principal.reach(report.user_id), made)

    async def uses(
        self, principal: Principal, user_id: str | None, trace_id: str | None, memory_id: str | None, limit: int
    ) -> list[MemoryUse]:
        """By trace or by memory. Raises Invalid unless one of the two is given, and StoreAway."""
        if (trace_id is None) == (memory_id is None):
            raise Invalid("give either trace_id or memory_id")
        await self.flush()
        reach = principal.reach(user_id)
        if trace_id is not None:
            return await self._store.of_trace(reach, trace_id, limit)
        return await self._store.of_memory(reach, memory_id or "", limit)

    async def unused(self, principal: Principal, user_id: str | None, days: float, limit: int) -> list[Memory]:
        now = self._clock.now()
        return await self._store.unused(principal.reach(user_id), now - timedelta(days=days), now, limit)

    async def harmful(self, principal: Principal, user_id: str | None, limit: int) -> list[HarmfulMemory]:
        await self.flush()
        return await self._store.harmful(principal.reach(user_id), self._clock.now(), limit)

    async def erase(self, owner: Owner) -> None:
        """Forgets what one person searched for. Raises StoreAway; a buffer that is away cannot bring it back, since
        uses of memories that are gone are not recorded."""
        self._noted = deque((use for use in self._noted if use.owner != owner), maxlen=MAX_NOTED)
        try:
            await self._buffer.erase(owner)
        except BufferAway:
            log.warning("buffered_uses_not_erased")
        await self._store.erase(owner)

    async def purge(self) -> None:
        before = self._clock.now() - self._keep
        while purged := await self._store.purge(before, PURGED_AT_ONCE):
            log.info("uses_purged", purged=purged)
