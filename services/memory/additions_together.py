"""Small additions of one moment as one: a statement and a sync for many callers. Knows no database."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bureau_contracts.memory import MemoryStored
from kit.tasks import unbroken
from services.memory.store import Draft, InTheWay, StoreAway

MOST_TOGETHER = 200
"""Memories of one statement: the first caller waits for the last."""
MOST_CHARACTERS = 100_000
"""Of one statement's texts: a text of so many alone takes Postgres half a second."""

Add = Callable[[Sequence[Draft]], Awaitable[list[MemoryStored]]]


@dataclass(frozen=True, slots=True, eq=False)
class _Addition:
    drafts: Sequence[Draft]
    stored: "asyncio.Future[list[MemoryStored]]"

    @property
    def characters(self) -> int:
        return sum(len(draft.wording.text) for draft in self.drafts)

    @property
    def has_vectors(self) -> bool:
        return all(draft.wording.vector is not None for draft in self.drafts)


class Together:
    """While as many additions are under way as there are lanes, the next ones gather; whoever gets a lane takes along
    what waits. One that fails takes none of the others with it."""

    def __init__(self, add: Add, lanes: int, seconds: float) -> None:
        """`add` stores all of its drafts or none, and says of each what became of it. `seconds` is what a caller waits,
        for others too."""
        self._add, self._lanes, self._seconds = add, asyncio.Semaphore(lanes), seconds
        self._waiting: list[_Addition] = []

    async def add(self, drafts: Sequence[Draft]) -> list[MemoryStored]:
        """As `add` of the store. A caller that is cancelled may have had its memories stored."""
        mine = _Addition(drafts, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        try:
            async with asyncio.timeout(self._seconds):
                async with self._lanes:
                    while mine in self._waiting:
                        await unbroken(self._store(self._taken()))
                return await mine.stored
        except TimeoutError as error:
            raise StoreAway("the memory's database has too much to store to answer in time") from error
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
            mine.stored.cancel()

    def _taken(self) -> list[_Addition]:
        """What waits, from the first that is like the longest waiting one: with vectors, or without."""
        first, memories, characters = self._waiting[0], 0, 0
        taken, left = list[_Addition](), list[_Addition]()
        for each in self._waiting:
            fits = memories + len(each.drafts) <= MOST_TOGETHER and characters + each.characters <= MOST_CHARACTERS
            if (each is first or fits) and each.has_vectors == first.has_vectors:
                memories += len(each.drafts)
                characters += each.characters
                taken.append(each)
            else:
                left.append(each)
        self._waiting = left
        return taken

    async def _store(self, additions: Sequence[_Addition]) -> None:
        try:
            stored = iter(await self._add([draft for each in additions for draft in each.drafts]))
        except Exception as error:  # noqa: BLE001 - the outermost layer: the error is its callers' to handle
            away = isinstance(error, StoreAway) and not isinstance(error, InTheWay)
            if len(additions) > 1 and not away:
                for each in additions:  # one of them cannot be stored, and finds out for itself
                    await self._store([each])
                return
            for each in additions:
                if not each.stored.done():
                    each.stored.set_exception(error)
            return
        for each in additions:
            answers = [next(stored) for _ in each.drafts]
            if not each.stored.done():  # its caller was not cancelled
                each.stored.set_result(answers)
