"""A process that changes a registry file with many writers at once until it is killed.

Writes one line per acknowledged change to standard output: the agent's name and its revision.
"""

import asyncio
import itertools
import sys
from pathlib import Path

from bureau_contracts.registry import AgentRecord
from kit.clock import SystemClock
from services.registry.document import Document
from services.registry.json_file import JsonFile
from services.registry.store_json import JsonStore, open_json_store

WRITERS = 64


async def change_for_ever(store: JsonStore, name: str) -> None:
    for _ in itertools.count():
        document = await store.commit(lambda document: count_up(document, name))
        sys.stdout.write(f"{name} {document.agents[name].revision}\n")
        sys.stdout.flush()


def count_up(document: Document, name: str) -> Document:
    before = document.agents.get(name)
    now = SystemClock().now()
    agent = AgentRecord(
        name=name,
        description="x" * 500,
        http="http://agent/turn",
        revision=before.revision + 1 if before else 1,
        registered_at=now,
        updated_at=now,
    )
    return document.with_agent(agent)


async def main(path: Path) -> None:
    async with open_json_store(JsonFile(path), SystemClock()) as store, asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(change_for_ever(store, f"agent-{number}"))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
