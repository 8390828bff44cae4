"""The port of documents: their records, and which memories are their chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bureau_contracts.memory import Memory
from bureau_contracts.memory_documents import Document, DocumentStored
from bureau_contracts.shapes import JsonObject
from kit.identity import Owner, Reach
from services.memory.store import Draft


@dataclass(frozen=True, slots=True)
class DocumentDraft:
    document_id: str
    owner: Owner
    agent: str | None
    title: str
    media_type: str
    metadata: JsonObject
    at: datetime


class DocumentStore(Protocol):
    """Keeps documents beside the memories that are their chunks.

    - `replace` is one step: nobody finds half of one version and half of another, and of two at once one comes last.
    - A chunk with a digest that the document has already keeps its ID and its vector.
    - A call sees and touches only what is within its reach. An ID that is another owner's is as missing.
    - Every call raises StoreAway when it cannot be reached.
    """

    async def digests(self, owner: Owner, document_id: str, now: datetime) -> set[bytes]:
        """Of the chunks it has."""

    async def replace(self, document: DocumentDraft, chunks: Sequence[Draft]) -> DocumentStored | None:
        """The chunks in their order, with metadata that say their position. None when the ID is another owner's."""

    async def page(self, reach: Reach, after: str, limit: int) -> list[Document]:
        """By ID, from behind `after`."""

    async def chunks(self, reach: Reach, document_id: str, first: int, last: int, now: datetime) -> list[Memory] | None:
        """Those at positions first to last that can be found; None when there is no such document."""

    async def delete(self, reach: Reach, document_id: str) -> bool:
        """With all its chunks, at once."""

    async def erase(self, owner: Owner) -> None:
        """The records; the chunks go with the owner's memories, before, and with them those that were added since."""
