"""Routes of documents."""

from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import Field

from bureau_contracts.memory_documents import (
    DocumentChunks,
    DocumentId,
    DocumentPage,
    DocumentStored,
    NewDocument,
)
from bureau_contracts.sessions import Deleted
from bureau_contracts.shapes import Limit, SubjectId
from kit.web import PrincipalDep, router
from services.memory.documents import Documents

routes = router("/memory/documents", "memory")


def _documents(request: Request) -> Documents:
    documents: Documents = request.app.state.documents
    return documents


DocumentsDep = Annotated[Documents, Depends(_documents)]
Position = Annotated[int, Field(ge=0, le=1_000_000)]


@routes.post("", status_code=201)
async def ingest(principal: PrincipalDep, documents: DocumentsDep, body: NewDocument) -> DocumentStored:
    """Cuts a text into memories of kind ``document``. Sent again under its ID, only what changed is changed.

    409 `document_taken`; 422 `empty_document`, `too_many_chunks`, `pdf_unreadable`; 503 `pdf_not_set_up`.
    """
    return await documents.ingest(principal, body)


@routes.get("")
async def page(
    principal: PrincipalDep,
    documents: DocumentsDep,
    user_id: SubjectId | None = None,
    after: Annotated[DocumentId | None, Query()] = None,
    limit: Limit = 50,
) -> DocumentPage:
    """Documents by ID; go on at `next_after`."""
    found = await documents.page(principal, user_id, after or "", limit)
    return DocumentPage(documents=found, next_after=found[-1].document_id if len(found) == limit else None)


@routes.get("/{document_id}/chunks")
async def chunks(
    principal: PrincipalDep,
    documents: DocumentsDep,
    document_id: DocumentId,
    position: Annotated[Position | None, Query()] = None,
    context: Annotated[int, Field(ge=0, le=50)] = 1,
) -> DocumentChunks:
    """The chunks around a `position` (in a hit's metadata), `context` on either side; the first 200 without one."""
    first, last = (0, 199) if position is None else (position - context, position + context)
    return DocumentChunks(chunks=await documents.chunks(principal, document_id, first, last))


@routes.delete("/{document_id}")
async def delete(principal: PrincipalDep, documents: DocumentsDep, document_id: DocumentId) -> Deleted:
    """A document with all its chunks, at once and for good."""
    await documents.delete(principal, document_id)
    return Deleted()
