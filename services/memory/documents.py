"""The rules of documents: what a text is cut into, and that the same document sent again changes only what changed."""

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from bureau_contracts.memory import Memory, MemoryKind, Origin
from bureau_contracts.memory_documents import Document, DocumentStored, DocumentType, NewDocument
from kit.clock import Clock
from kit.errors import Conflict, Invalid, NotFound
from kit.identity import Owner, Principal
from kit.ids import new_id
from kit.logs import get_logger
from services.memory.chunking import Chunk, chunks
from services.memory.document_store import DocumentDraft, DocumentStore
from services.memory.html_text import read_html
from services.memory.pdf_text import PdfUnreadable, read_pdf
from services.memory.store import Draft, Wording
from services.memory.vectors import Vectors
from services.memory.wording import digest, distinct_words

log = get_logger(__name__)

MAX_CHUNKS = 5_000
PDFS_AT_ONCE = 2
EMBEDDED_AT_ONCE = 256
"""Chunks that get their vectors before the answer; the upkeep makes those of the others, found by words meanwhile."""


class DocumentNotFound(NotFound):
    code = "document_not_found"


class DocumentTaken(Conflict):
    code = "document_taken"


class EmptyDocument(Invalid):
    code = "empty_document"


@dataclass(frozen=True, slots=True)
class _Worded:
    chunk: Chunk
    digest: bytes
    words: tuple[str, ...]


class Documents:
    def __init__(
        self, store: DocumentStore, vectors: Vectors, clock: Clock, quarantine: frozenset[Origin] = frozenset()
    ) -> None:
        self._store, self._vectors, self._clock, self._quarantine = store, vectors, clock, quarantine
        self._pdfs = asyncio.Semaphore(PDFS_AT_ONCE)

    async def ingest(self, principal: Principal, new: NewDocument) -> DocumentStored:
        """Raises EmptyDocument, DocumentTaken when the ID is another owner's, or StoreAway."""
        owner, document_id = principal.owner(new.user_id), new.document_id or new_id("doc")
        text = new.text or ""
        if new.content_base64 is not None:
            async with self._pdfs:
                text = await read_pdf(_decoded(new.content_base64))
        title, worded = await asyncio.to_thread(_read, new, text, document_id)
        now = self._clock.now()
        there = await self._store.digests(owner, document_id, now)
        fresh = list(islice((each for each in worded if each.digest not in there), EMBEDDED_AT_ONCE))
        made = await self._vectors.of_texts([each.chunk.text for each in fresh]) if fresh else []
        vectors = {each.digest: vector for each, vector in zip(fresh, made, strict=True)}
        drafts = [
            Draft(
                new_id("mem"), owner, Wording(each.chunk.text, each.digest, each.words, vectors.get(each.digest)), now,
                MemoryKind.DOCUMENT, new.agent, None, (),
                {**new.metadata, "document_id": document_id, "position": position, "title": title,
                 "headings": list(each.chunk.headings)},
                origin=Origin.DOCUMENT, quarantined=Origin.DOCUMENT in self._quarantine,
            )
            for position, each in enumerate(worded)
        ]  # fmt: skip
        draft = DocumentDraft(document_id, owner, new.agent, title, new.media_type, new.metadata, now)
        stored = await self._store.replace(draft, drafts)
        if stored is None:
            raise DocumentTaken("this document ID is in use: choose another")
        log.info("document_stored", document_id=document_id, added=stored.added, kept=stored.kept)
        return stored

    async def page(self, principal: Principal, user_id: str | None, after: str, limit: int) -> list[Document]:
        return await self._store.page(principal.reach(user_id), after, limit)

    async def chunks(self, principal: Principal, document_id: str, first: int, last: int) -> list[Memory]:
        found = await self._store.chunks(principal.reach(), document_id, first, last, self._clock.now())
        if found is None:
            raise DocumentNotFound("no document with this ID within your reach")
        return found

    async def delete(self, principal: Principal, document_id: str) -> None:
        if not await self._store.delete(principal.reach(), document_id):
            raise DocumentNotFound("no document with this ID within your reach")
        log.info("document_deleted", document_id=document_id)

    async def erase(self, owner: Owner) -> None:
        await self._store.erase(owner)


def _decoded(written: str) -> bytes:
    try:
        return base64.b64decode(written, validate=True)
    except ValueError:
        raise PdfUnreadable("content_base64: not base64") from None


def _read(new: NewDocument, text: str, document_id: str) -> tuple[str, list[_Worded]]:
    title = new.title
    if new.media_type is DocumentType.HTML:
        found, text = read_html(text)
        title = title or found
    cut = chunks(text, markdown=new.media_type in (DocumentType.MARKDOWN, DocumentType.HTML))
    if not cut:
        raise EmptyDocument("the document has no text")
    if len(cut) > MAX_CHUNKS:
        raise EmptyDocument(f"the document has more than {MAX_CHUNKS} chunks", code="too_many_chunks")
    return title, _worded(cut, document_id)


def _worded(cut: Sequence[Chunk], document_id: str) -> list[_Worded]:
    """The digest is the document's own, so that two documents may say the same, and one may say it twice."""
    seen = Counter[bytes]()
    found = []
    for chunk in cut:
        same = digest(chunk.text)
        own = hashlib.blake2b(same + f"{document_id}:{seen[same]}".encode(), digest_size=32).digest()
        seen[same] += 1
        found.append(_Worded(chunk, own, distinct_words(chunk.text)))
    return found
