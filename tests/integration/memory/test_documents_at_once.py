"""A document that is deleted while a new version of it is being stored: nothing of either is found afterwards."""

import asyncio
from collections.abc import Sequence

import pytest

from bureau_contracts.memory import MemoryStored, SearchMode
from bureau_contracts.memory_documents import DocumentType
from kit.identity import Owner, Reach
from kit.ids import new_id
from services.memory.database import Connection
from services.memory.document_store import DocumentDraft
from services.memory.document_store_postgres import PostgresDocumentStore
from services.memory.pgvector import Options
from services.memory.store import Draft, Filter, Query, Wording
from services.memory.store_pgvector import PgvectorStore
from services.memory.wording import digest, distinct_words
from tests.fakes import FixedClock
from tests.waiting import eventually

NOW = FixedClock().now()
ALICE, ALICES = Owner("acme", "alice"), Reach("acme", "alice")
HANDBOOK = DocumentDraft("doc-handbook", ALICE, None, "", DocumentType.PLAIN, {}, NOW)


def chunks(*texts: str) -> list[Draft]:
    return [Draft(new_id("mem"), ALICE, Wording(t, digest(t), distinct_words(t), None), NOW) for t in texts]


@pytest.mark.parametrize("erased", [False, True], ids=["deleted", "its person erased"])
async def test_a_document_deleted_while_it_is_replaced_leaves_no_chunk(database_url: str, erased: bool) -> None:
    store = PgvectorStore(Options(database_url, "none", 3, search_timeout_seconds=20))
    await store.prepare()
    added, finish = asyncio.Event(), asyncio.Event()

    async def add_and_wait(connection: Connection, drafts: Sequence[Draft]) -> list[MemoryStored]:
        stored = await store.add_within(connection, drafts)
        added.set()
        await finish.wait()
        return stored

    async def somebody_waits() -> bool:
        async with store.database.connection(10) as connection:
            return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    documents = PostgresDocumentStore(store.database, 10, store.add_within)
    slow = PostgresDocumentStore(store.database, 10, add_and_wait)
    await documents.replace(HANDBOOK, chunks("old tea", "old water"))
    async with asyncio.TaskGroup() as group:
        group.create_task(slow.replace(HANDBOOK, chunks("new tea", "new water")))
        await added.wait()
        group.create_task(documents.erase(ALICE) if erased else documents.delete(ALICES, "doc-handbook"))
        await eventually(somebody_waits)
        finish.set()
    assert await documents.page(ALICES, "", 10) == []
    query = Query(SearchMode.TEXT, None, ("tea", "water"), 10)
    assert await store.search(ALICES, Filter(NOW), query) == []
    assert await store.page(ALICES, Filter(NOW), 10, None) == []
    await store.close()
