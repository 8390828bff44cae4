"""The change feed looks at what changed, and at nothing else."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bureau_contracts.registry import AgentRecord
from kit.identity import Principal
from services.registry.document import Document
from services.registry.feed import Feed
from services.registry.store_memory import MemoryStore
from tests.registry_records import put

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Watched(dict[str, Any]):
    """Counts what is looked at from its end."""

    looked = 0

    def items(self) -> Any:
        return self

    def __reversed__(self) -> Iterator[Any]:
        for key in super().__reversed__():
            self.looked += 1
            yield key, self[key]


async def test_a_poll_among_many_looks_at_what_changed_and_one_more() -> None:
    document = Document()
    for number in range(50):
        name = f"agent-{number}"
        agent = AgentRecord(name=name, http="http://x/turn", revision=1, registered_at=NOW, updated_at=NOW)
        document = put(document, agent)
    watched = Watched(document.revisions)
    feed = Feed(MemoryStore(replace(document, revisions=watched)), asyncio.Event())
    page = await feed.page(Principal("acme", "ann"), 48, 0, 1000)
    assert [each.name for each in page.changes] == ["agent-48", "agent-49"]
    assert watched.looked == 3
