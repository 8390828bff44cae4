"""The change feed looks at what changed, and at nothing else."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bureau_contracts.registry import AgentRecord, ChangeType, Kind
from kit.identity import Principal
from services.registry.document import Document, Edit
from services.registry.feed import Feed
from services.registry.store_memory import MemoryStore
from tests.registry_records import STAMP, put

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


def agent(name: str) -> AgentRecord:
    return AgentRecord(name=name, http="http://x/turn", revision=1, registered_at=NOW, updated_at=NOW)


async def test_a_poll_among_many_looks_at_what_changed_and_one_more() -> None:
    document = Document()
    for number in range(50):
        document = put(document, agent(f"agent-{number}"))
    watched = Watched(document.revisions)
    feed = Feed(MemoryStore(replace(document, revisions=watched)), asyncio.Event())
    page = await feed.page(Principal("acme", "ann"), 48, 0, 1000)
    assert [each.name for each in page.changes] == ["agent-48", "agent-49"]
    assert watched.looked == 3


async def test_who_was_not_told_of_a_forgotten_deletion_reads_everything_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.registry.document.DELETED", 4)
    store, ann = MemoryStore(), Principal("acme", "ann")
    feed = Feed(store, asyncio.Event())
    names = [f"agent-{number}" for number in range(10)]
    before = await store.commit(lambda document: put(document, *map(agent, names)))
    edits = [Edit(Kind.AGENT, name, ChangeType.DELETED, None) for name in names]

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(feed.page(ann, before.seq, 10, 1000))
        await asyncio.sleep(0)  # it waits from here on
        after = await store.commit(lambda document: document.edited(edits, STAMP))
    assert (waiting.result().reset, waiting.result().changes) == (True, []), "it was never told of the first ones"
    late = await feed.page(ann, before.seq + 1, 0, 1000)
    assert (late.reset, late.seq) == (True, after.seq)
    told = await feed.page(ann, after.told_from, 0, 1000)
    assert not told.reset
    assert [each.seq for each in told.changes] == list(range(after.told_from + 1, after.seq + 1)), "without a gap"
