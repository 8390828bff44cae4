"""How often memories are found: counted in the process, written together every few seconds.

A search must not wait for a write. Counts of the last seconds are lost when the process is killed, nothing else is.
"""

from collections import Counter
from collections.abc import Iterable

from kit.clock import Clock
from kit.logs import get_logger
from services.memory.store import MemoryStore, StoreAway

log = get_logger(__name__)

MAX_WAITING = 50_000
"""Memories whose counts wait while the store is away; beyond, further ones are not counted."""


class UsageCounts:
    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._waiting: Counter[str] = Counter()

    def note(self, memory_ids: Iterable[str]) -> None:
        for memory_id in memory_ids:
            if memory_id in self._waiting or len(self._waiting) < MAX_WAITING:
                self._waiting[memory_id] += 1

    async def flush(self) -> None:
        """Writes what waits; keeps it for the next time when the store is away."""
        counts, self._waiting = self._waiting, Counter()
        if not counts:
            return
        try:
            await self._store.note_used(counts, self._clock.now())
        except StoreAway:
            self._waiting.update(counts)
            log.info("usage_waits", memories=len(self._waiting))
