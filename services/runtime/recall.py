"""The memories of a turn. A turn does not die for lack of memories, and hardly waits for them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bureau.errors import BureauError
from kit.identity import current_principal
from kit.logs import get_logger
from services.runtime.ports import Recollections

log = get_logger(__name__)

QUERY_CHARS = 1000
"""Of a message that is searched with."""
PAUSE_SECONDS = 3.0
"""For how long a memory that did not answer is not asked again: a slow one must not slow every turn."""


@dataclass(frozen=True)
class Recalled:
    """Their ids, for the answer, and their texts, for the agent."""

    ids: Sequence[str] = ()
    texts: Sequence[str] = ()


class Recall:
    def __init__(self, recollections: Recollections, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self._recollections, self._most, self._now = recollections, most, now
        self._away_until = 0.0

    async def about(self, message: str) -> Recalled:
        """What the current user is known to have said that fits; nothing when the memory is away."""
        if not self._most or self._now() < self._away_until:
            return Recalled()
        user = current_principal().subject
        try:
            found = await self._recollections.search(message[:QUERY_CHARS], k=self._most, user_id=user)
        except BureauError as error:
            self._away_until = self._now() + PAUSE_SECONDS
            log.warning("memories_away", code=error.code, pause_seconds=PAUSE_SECONDS)
            return Recalled()
        hits = [hit.memory for hit in found.results]
        return Recalled([each.memory_id for each in hits], [each.text for each in hits])
