"""Documents in this process alone, for tests: the same promises, beside the memories of `store_memory.py`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bureau_contracts.memory import Memory, MemoryStored
from bureau_contracts.memory_documents import Document, DocumentStored
from bureau_contracts.shapes import JsonObject
from kit.identity import Owner, Reach
from services.memory.document_store import DocumentDraft
from services.memory.store import Draft


class _Memories(Protocol):
    """What `store_memory.py` shows to those that stand beside it."""

    def check(self) -> None: ...

    def living(self, reach: Reach, now: datetime) -> list[Memory]: ...

    def describe(self, memory_id: str, metadata: JsonObject) -> None: ...

    async def add(self, drafts: Sequence[Draft]) -> list[MemoryStored]: ...

    async def delete(self, reach: Reach, memory_id: str, now: datetime, *, purge: bool = False) -> bool: ...


class InMemoryDocumentStore:
    def __init__(self, memories: _Memories) -> None:
        self._memories = memories
        self._documents: dict[str, Document] = {}
        self._chunks: dict[str, list[tuple[str, bytes]]] = {}
        """Memory IDs with digests, by document, in order."""

    async def digests(self, owner: Owner, document_id: str, now: datetime) -> set[bytes]:
        self._memories.check()
        document = self._documents.get(document_id)
        if document is None or (document.tenant, document.user_id) != (owner.tenant, owner.user):
            return set()
        return {digest for _, digest in self._there(document, now)}

    async def replace(self, document: DocumentDraft, chunks: Sequence[Draft]) -> DocumentStored | None:
        self._memories.check()
        owner, document_id = document.owner, document.document_id
        before = self._documents.get(document_id)
        if before is not None and (before.tenant, before.user_id) != (owner.tenant, owner.user):
            return None
        reach, there = Reach(owner.tenant, owner.user), dict[bytes, str]()
        if before is not None and before.agent == document.agent:
            there = {digest: memory_id for memory_id, digest in self._there(before, document.at)}
        wanted = {chunk.wording.digest for chunk in chunks}
        removed = 0
        for memory_id, digest in self._chunks.get(document_id, []):
            if digest not in wanted or digest not in there:
                removed += await self._memories.delete(reach, memory_id, document.at, purge=True)
        placed = []
        for chunk in chunks:
            kept = there.get(chunk.wording.digest)
            if kept is None:
                (stored,) = await self._memories.add([chunk])
                placed.append((stored.memory_id, chunk.wording.digest))
            else:
                self._memories.describe(kept, chunk.metadata)
                placed.append((kept, chunk.wording.digest))
        self._chunks[document_id] = placed
        shown = Document(
            document_id=document_id, tenant=owner.tenant, user_id=owner.user, agent=document.agent,
            title=document.title, media_type=document.media_type, metadata=document.metadata, chunks=len(chunks),
            created_at=before.created_at if before else document.at, updated_at=document.at,
        )  # fmt: skip
        self._documents[document_id] = shown
        kept_count = sum(digest in there for digest in wanted)
        return DocumentStored(document=shown, added=len(chunks) - kept_count, kept=kept_count, removed=removed)

    async def page(self, reach: Reach, after: str, limit: int) -> list[Document]:
        self._memories.check()
        within = [each for each in self._documents.values() if _is_within(each, reach) and each.document_id > after]
        return sorted(within, key=lambda each: each.document_id)[:limit]

    async def chunks(self, reach: Reach, document_id: str, first: int, last: int, now: datetime) -> list[Memory] | None:
        self._memories.check()
        document = self._documents.get(document_id)
        if document is None or not _is_within(document, reach):
            return None
        living = {memory.memory_id: memory for memory in self._memories.living(reach, now)}
        wanted = [memory_id for memory_id, _ in self._chunks[document_id][max(0, first) : last + 1]]
        return [living[memory_id] for memory_id in wanted if memory_id in living and not living[memory_id].quarantined]

    async def delete(self, reach: Reach, document_id: str) -> bool:
        self._memories.check()
        document = self._documents.get(document_id)
        if document is None or not _is_within(document, reach):
            return False
        for memory_id, _ in self._chunks.pop(document_id):
            await self._memories.delete(reach, memory_id, document.updated_at, purge=True)
        del self._documents[document_id]
        return True

    async def erase(self, owner: Owner) -> None:
        self._memories.check()
        for document_id, document in list(self._documents.items()):
            if (document.tenant, document.user_id) == (owner.tenant, owner.user):
                del self._documents[document_id], self._chunks[document_id]

    def _there(self, document: Document, now: datetime) -> list[tuple[str, bytes]]:
        living = {memory.memory_id for memory in self._memories.living(Reach(document.tenant, document.user_id), now)}
        return [each for each in self._chunks.get(document.document_id, []) if each[0] in living]


def _is_within(document: Document, reach: Reach) -> bool:
    return document.tenant == reach.tenant and reach.user in (None, document.user_id)
