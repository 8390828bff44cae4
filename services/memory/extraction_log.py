"""The port of what was read already: which messages of a conversation gave which memories."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bureau_contracts.memory_extraction import Extraction
from kit.identity import Owner

CLAIM_SECONDS = 180.0
"""How long one reading may take; then somebody else may read."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One session as it was begun: one that was erased and begun anew under its ID is another."""

    owner: Owner
    session_id: str
    begun_at: datetime
    tool_results: bool = False
    """Reading results of tools too is another reading of the same messages."""


@dataclass(frozen=True, slots=True)
class Read:
    """A range of messages, with the digest of what they said and the answer that was given."""

    from_seq: int
    to_seq: int
    digest: bytes
    answer: Extraction


class ExtractionLog(Protocol):
    """Remembers readings. Holds IDs and numbers of messages, no text.

    - While a claim is held nobody else holds one of the same conversation, on any machine; it ends with its process.
    - A range that is kept again replaces what was kept of it.
    - Every call raises StoreAway when it cannot be reached.
    """

    def claim(self, conversation: Conversation) -> AbstractAsyncContextManager[bool]:
        """False when somebody else holds it."""

    async def readings(self, conversation: Conversation) -> list[Read]:
        """By `from_seq`."""

    async def keep(self, conversation: Conversation, read: Read, now: datetime) -> None: ...

    async def erase(self, owner: Owner) -> None:
        """Forgets all of one owner's readings."""


def first_unread(readings: Sequence[Read]) -> int:
    """The first message that no reading has covered."""
    first = 1
    for read in sorted(readings, key=lambda read: read.from_seq):
        if read.from_seq > first:
            break
        first = max(first, read.to_seq + 1)
    return first
