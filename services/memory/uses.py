"""Which memories a search gave: the ports of what keeps it, first quickly and then for long."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bureau_contracts.memory import Memory
from bureau_contracts.memory_usage import HarmfulMemory, MemoryUse
from kit.identity import Owner, Reach


class BufferAway(Exception):
    """The buffer cannot be asked now."""


@dataclass(frozen=True, slots=True)
class Use:
    """One search. `use_id` makes it the same use however often it is kept."""

    use_id: str
    owner: Owner
    """Whose search it was: the caller's, or the user's that it named."""
    trace_id: str
    agent: str | None
    query: str
    at: datetime
    given: tuple[tuple[str, float], ...]
    """Memory IDs with their scores, best first."""


@dataclass(frozen=True, slots=True)
class Report:
    trace_id: str
    memory_ids: tuple[str, ...] | None
    helped: bool
    note: str
    at: datetime


class UseBuffer(Protocol):
    """Keeps uses for the minutes until they are written. Bounded: when nobody writes, a tenant's oldest go.

    Every call raises BufferAway, soon, when it cannot be reached.
    """

    async def push(self, uses: Sequence[Use]) -> None: ...

    async def take(self, limit: int) -> list[Use]:
        """Up to so many, oldest first by tenant. They stay until dropped: another process may take them too."""

    async def drop(self, uses: Sequence[Use]) -> None:
        """Of those that `take` gave."""

    async def erase(self, owner: Owner) -> None: ...


class UseStore(Protocol):
    """Keeps uses for as long as they are wanted.

    - A use is kept once, however often it is recorded, and not when it was erased with its memories meanwhile.
    - A call sees only uses within its reach, of memories within its reach.
    - A purged memory is named nowhere.
    - Every call raises StoreAway when it cannot be reached.
    """

    async def record(self, uses: Sequence[Use]) -> None: ...

    async def report(self, reach: Reach, report: Report) -> int:
        """How many memories were marked."""

    async def of_trace(self, reach: Reach, trace_id: str, limit: int) -> list[MemoryUse]: ...

    async def of_memory(self, reach: Reach, memory_id: str, limit: int) -> list[MemoryUse]: ...

    async def unused(self, reach: Reach, since: datetime, now: datetime, limit: int) -> list[Memory]:
        """Living memories stored before `since` and not given to anybody after."""

    async def harmful(self, reach: Reach, now: datetime, limit: int) -> list[HarmfulMemory]: ...

    async def erase(self, owner: Owner) -> None: ...

    async def purge(self, before: datetime, limit: int) -> int:
        """Deletes up to so many uses from before then; how many."""
