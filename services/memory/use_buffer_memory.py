"""Buffered uses in this process alone: for tests, and for a memory that was given no Redis."""

from collections.abc import Sequence

from kit.identity import Owner
from services.memory.uses import BufferAway, Use

MAX_PER_TENANT = 10_000


class InMemoryUseBuffer:
    """`away` makes it behave as a buffer that cannot be reached."""

    def __init__(self) -> None:
        self._uses: dict[str, dict[str, Use]] = {}
        self.away = False

    async def push(self, uses: Sequence[Use]) -> None:
        self._check()
        for use in uses:
            kept = self._uses.setdefault(use.owner.tenant, {})
            kept[use.use_id] = use
            while len(kept) > MAX_PER_TENANT:
                del kept[next(iter(kept))]

    async def take(self, limit: int) -> list[Use]:
        self._check()
        return [use for kept in self._uses.values() for use in kept.values()][:limit]

    async def drop(self, uses: Sequence[Use]) -> None:
        self._check()
        for use in uses:
            self._uses.get(use.owner.tenant, {}).pop(use.use_id, None)

    async def erase(self, owner: Owner) -> None:
        self._check()
        kept = self._uses.get(owner.tenant, {})
        self._uses[owner.tenant] = {use_id: use for use_id, use in kept.items() if use.owner != owner}

    def _check(self) -> None:
        if self.away:
            raise BufferAway("the buffer is away")
