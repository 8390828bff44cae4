"""The memory's client: what agents should still know tomorrow."""

from collections.abc import Sequence

from bureau.http import Caller, segment
from bureau_contracts.memory import (
    Embeddings,
    EmbedPurpose,
    EmbedTexts,
    ExportedMemory,
    ExportPage,
    ImportMemories,
    MemoriesErased,
    MemoriesImported,
    MemoriesStored,
    Memory,
    MemoryHistory,
    MemoryKind,
    MemoryPage,
    MemoryPatch,
    MemorySearch,
    MemorySearchAnswer,
    MemoryStored,
    NewMemories,
    NewMemory,
    SearchMode,
    SimilarPairs,
    SupersedeMemory,
)
from bureau_contracts.memory_documents import DocumentChunks, DocumentPage, DocumentStored, NewDocument
from bureau_contracts.memory_extraction import Extraction, ExtractMemories
from bureau_contracts.memory_usage import HarmfulMemories, MemoryUses, ReportUse, UnusedMemories, UseReported
from bureau_contracts.sessions import Deleted

EXTRACT_SECONDS = 120.0


class MemoryClient:
    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def store(self, memory: NewMemory) -> MemoryStored:
        """May be sent again: the same text for the same owner is stored once."""
        return await self._call(MemoryStored, "POST", "/memory", body=memory, repeatable=True)

    async def store_all(self, memories: Sequence[NewMemory]) -> MemoriesStored:
        body = NewMemories(memories=list(memories))
        return await self._call(MemoriesStored, "POST", "/memory/batch", body=body, repeatable=True)

    async def search(
        self, q: str, *, k: int = 5, user_id: str | None = None, agent: str | None = None,
        kind: MemoryKind | None = None, mode: SearchMode = SearchMode.HYBRID, min_score: float | None = None,
    ) -> MemorySearchAnswer:  # fmt: skip
        """`find` takes what else a search can be narrowed by."""
        return await self.find(
            MemorySearch(q=q, k=k, user_id=user_id, agent=agent, kind=kind, mode=mode, min_score=min_score)
        )

    async def find(self, search: MemorySearch) -> MemorySearchAnswer:
        return await self._call(MemorySearchAnswer, "POST", "/memory/search", body=search, repeatable=True)

    async def similar(
        self, *, user_id: str | None = None, above: float | None = None, limit: int | None = None
    ) -> SimilarPairs:
        """Pairs of one owner's memories that say nearly the same."""
        params = {"user_id": user_id, "above": above, "limit": limit}
        return await self._call(SimilarPairs, "GET", "/memory/similar", params=params)

    async def page(
        self, *, user_id: str | None = None, kind: MemoryKind | None = None,
        limit: int | None = None, cursor: str | None = None,
    ) -> MemoryPage:  # fmt: skip
        params = {"user_id": user_id, "kind": kind, "limit": limit, "cursor": cursor}
        return await self._call(MemoryPage, "GET", "/memory", params=params)

    async def get(self, memory_id: str) -> Memory:
        return await self._call(Memory, "GET", f"/memory/{segment(memory_id)}")

    async def history(self, memory_id: str) -> MemoryHistory:
        return await self._call(MemoryHistory, "GET", f"/memory/{segment(memory_id)}/history")

    async def update(self, memory_id: str, patch: MemoryPatch) -> Memory:
        return await self._call(Memory, "PATCH", f"/memory/{segment(memory_id)}", body=patch)

    async def supersede(self, memory_id: str, new: SupersedeMemory) -> Memory:
        """Something else is true now; the answer is the new memory."""
        return await self._call(Memory, "POST", f"/memory/{segment(memory_id)}/supersede", body=new)

    async def delete(self, memory_id: str, *, purge: bool = False) -> Deleted:
        """It can be restored for some days; with `purge` nothing is left."""
        return await self._call(Deleted, "DELETE", f"/memory/{segment(memory_id)}", params={"purge": purge or None})

    async def restore(self, memory_id: str) -> Memory:
        """Takes a deletion back."""
        return await self._call(Memory, "POST", f"/memory/{segment(memory_id)}/restore")

    async def erase(self, user_id: str) -> MemoriesErased:
        """Deletes everything that is known of one person."""
        return await self._call(MemoriesErased, "DELETE", "/memory", params={"user_id": user_id})

    async def export(
        self, *, user_id: str | None = None, after: str | None = None, limit: int | None = None
    ) -> ExportPage:
        """A page of memories with their versions, by ID; go on after `next_after`."""
        params = {"user_id": user_id, "after": after, "limit": limit}
        return await self._call(ExportPage, "GET", "/memory/export", params=params)

    async def import_all(self, memories: Sequence[ExportedMemory]) -> MemoriesImported:
        """200 at most. Safe to repeat."""
        body = ImportMemories(memories=list(memories))
        return await self._call(MemoriesImported, "POST", "/memory/import", body=body, repeatable=True)

    async def extract(
        self, session_id: str, *, from_seq: int | None = None, to_seq: int | None = None, tool_results: bool = False
    ) -> Extraction:
        """Memories out of a session's messages that were not read yet. Safe to repeat; a model takes its time."""
        body = ExtractMemories(session_id=session_id, from_seq=from_seq, to_seq=to_seq, tool_results=tool_results)
        return await self._call(
            Extraction, "POST", "/memory/extract", body=body, repeatable=True, timeout_seconds=EXTRACT_SECONDS
        )

    async def usage(
        self, *, trace_id: str | None = None, memory_id: str | None = None, user_id: str | None = None,
        limit: int | None = None,
    ) -> MemoryUses:  # fmt: skip
        """What a turn was given, or who was given a memory."""
        params = {"trace_id": trace_id, "memory_id": memory_id, "user_id": user_id, "limit": limit}
        return await self._call(MemoryUses, "GET", "/memory/usage", params=params)

    async def report(self, report: ReportUse) -> UseReported:
        """Whether what a turn was given helped it; the last word counts."""
        return await self._call(UseReported, "POST", "/memory/usage", body=report, repeatable=True)

    async def unused(
        self, *, days: float | None = None, user_id: str | None = None, limit: int | None = None
    ) -> UnusedMemories:
        params = {"days": days, "user_id": user_id, "limit": limit}
        return await self._call(UnusedMemories, "GET", "/memory/unused", params=params)

    async def harmful(self, *, user_id: str | None = None, limit: int | None = None) -> HarmfulMemories:
        params = {"user_id": user_id, "limit": limit}
        return await self._call(HarmfulMemories, "GET", "/memory/harmful", params=params)

    async def ingest(self, document: NewDocument) -> DocumentStored:
        """Cuts a text into memories. With an ID of your own it may be sent again: only what changed is changed."""
        repeatable = document.document_id is not None
        return await self._call(
            DocumentStored, "POST", "/memory/documents", body=document, repeatable=repeatable,
            timeout_seconds=EXTRACT_SECONDS,
        )  # fmt: skip

    async def documents(
        self, *, user_id: str | None = None, after: str | None = None, limit: int | None = None
    ) -> DocumentPage:
        params = {"user_id": user_id, "after": after, "limit": limit}
        return await self._call(DocumentPage, "GET", "/memory/documents", params=params)

    async def chunks(
        self, document_id: str, *, position: int | None = None, context: int | None = None
    ) -> DocumentChunks:
        """The chunks around a position, as it stands in a hit's metadata."""
        params = {"position": position, "context": context}
        return await self._call(
            DocumentChunks, "GET", f"/memory/documents/{segment(document_id)}/chunks", params=params
        )

    async def delete_document(self, document_id: str) -> Deleted:
        return await self._call(Deleted, "DELETE", f"/memory/documents/{segment(document_id)}")

    async def embed(self, texts: Sequence[str], *, purpose: EmbedPurpose = EmbedPurpose.DOCUMENT) -> Embeddings:
        """Vectors of the texts, 128 at most, in order; nothing of them is kept."""
        body = EmbedTexts(texts=list(texts), purpose=purpose)
        return await self._call(Embeddings, "POST", "/memory/embed", body=body, repeatable=True)
