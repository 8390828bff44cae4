"""Readings in this process alone, for tests: the same promises, nothing durable."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from kit.identity import Owner
from services.memory.extraction_log import Conversation, Read


class InMemoryExtractionLog:
    def __init__(self) -> None:
        self._kept: dict[Conversation, dict[tuple[int, int], Read]] = {}
        self._claimed = set[tuple[Owner, str]]()

    @asynccontextmanager
    async def claim(self, conversation: Conversation) -> AsyncIterator[bool]:
        key = (conversation.owner, conversation.session_id)
        if key in self._claimed:
            yield False
            return
        self._claimed.add(key)
        try:
            yield True
        finally:
            self._claimed.discard(key)

    async def readings(self, conversation: Conversation) -> list[Read]:
        return [read for _, read in sorted(self._kept.get(conversation, {}).items())]

    async def keep(self, conversation: Conversation, read: Read, now: datetime) -> None:
        self._kept.setdefault(conversation, {})[read.from_seq, read.to_seq] = read

    async def erase(self, owner: Owner) -> None:
        self._kept = {each: kept for each, kept in self._kept.items() if each.owner != owner}
