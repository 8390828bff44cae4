"""Uses in this process alone, for tests: the same promises, beside the memories of `store_memory.py`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from bureau_contracts.memory import Memory
from bureau_contracts.memory_usage import HarmfulMemory, MemoryGiven, MemoryUse
from kit.identity import Owner, Reach
from services.memory.uses import Report, Use

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


class _Memories(Protocol):
    """What `store_memory.py` shows to those that stand beside it."""

    def check(self) -> None: ...

    def living(self, reach: Reach, now: datetime) -> list[Memory]: ...

    def holds(self, tenant: str, memory_id: str) -> bool: ...


@dataclass
class _Kept:
    use: Use
    reports: dict[str, Report] = field(default_factory=dict)


class InMemoryUseStore:
    def __init__(self, memories: _Memories) -> None:
        self._memories = memories
        self._kept: dict[str, _Kept] = {}

    async def record(self, uses: Sequence[Use]) -> None:
        self._memories.check()
        for use in uses:
            if not use.given or any(self._memory(use, memory_id) for memory_id, _ in use.given):
                self._kept.setdefault(use.use_id, _Kept(use))

    async def report(self, reach: Reach, report: Report) -> int:
        self._memories.check()
        marked = 0
        for kept in self._within(reach):
            if kept.use.trace_id == report.trace_id:
                for memory_id, _ in kept.use.given:
                    wanted = report.memory_ids is None or memory_id in report.memory_ids
                    if wanted and self._memory(kept.use, memory_id):
                        kept.reports[memory_id] = report
                        marked += 1
        return marked

    async def of_trace(self, reach: Reach, trace_id: str, limit: int) -> list[MemoryUse]:
        self._memories.check()
        return [self._shown(kept) for kept in self._within(reach) if kept.use.trace_id == trace_id][:limit]

    async def of_memory(self, reach: Reach, memory_id: str, limit: int) -> list[MemoryUse]:
        self._memories.check()
        return [
            self._shown(kept)
            for kept in self._within(reach)
            if any(given == memory_id for given, _ in kept.use.given) and self._memory(kept.use, memory_id)
        ][:limit]

    async def unused(self, reach: Reach, since: datetime, now: datetime, limit: int) -> list[Memory]:
        living = [
            memory
            for memory in self._memories.living(reach, now)
            if memory.created_at < since and (memory.last_used_at or _LONG_AGO) < since and memory.valid_to is None
        ]
        living.sort(key=lambda memory: (memory.last_used_at or memory.created_at, memory.memory_id))
        return living[:limit]

    async def harmful(self, reach: Reach, now: datetime, limit: int) -> list[HarmfulMemory]:
        found = []
        for memory in self._memories.living(reach, now):
            reports = [
                kept.reports[memory.memory_id] for kept in self._within(reach) if memory.memory_id in kept.reports
            ]
            helped = sum(report.helped for report in reports)
            if len(reports) - helped > helped:
                found.append(HarmfulMemory(memory=memory, helped=helped, harmed=len(reports) - helped))
        return sorted(found, key=lambda each: (each.helped - each.harmed, each.memory.memory_id))[:limit]

    async def erase(self, owner: Owner) -> None:
        self._memories.check()
        self._kept = {use_id: kept for use_id, kept in self._kept.items() if kept.use.owner != owner}

    async def purge(self, before: datetime, limit: int) -> int:
        self._memories.check()
        gone = [use_id for use_id, kept in self._kept.items() if kept.use.at < before][:limit]
        for use_id in gone:
            del self._kept[use_id]
        return len(gone)

    def _within(self, reach: Reach) -> list[_Kept]:
        kept = [
            kept
            for kept in self._kept.values()
            if kept.use.owner.tenant == reach.tenant and reach.user in (None, kept.use.owner.user)
        ]
        return sorted(kept, key=lambda kept: (kept.use.at, kept.use.use_id), reverse=True)

    def _memory(self, use: Use, memory_id: str) -> bool:
        return self._memories.holds(use.owner.tenant, memory_id)

    def _shown(self, kept: _Kept) -> MemoryUse:
        use = kept.use
        results = []
        for memory_id, score in use.given:
            if self._memory(use, memory_id):
                report = kept.reports.get(memory_id)
                helped, note = (report.helped, report.note) if report else (None, "")
                results.append(MemoryGiven(memory_id=memory_id, score=score, helped=helped, note=note))
        return MemoryUse(
            use_id=use.use_id, trace_id=use.trace_id, user_id=use.owner.user, agent=use.agent, query=use.query,
            searched_at=use.at, results=results,
        )  # fmt: skip
