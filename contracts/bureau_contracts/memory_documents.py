"""Contracts of documents: texts that are cut into memories which can be found one by one."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from bureau_contracts.memory import Memory
from bureau_contracts.shapes import AgentName, Answer, JsonObject, NoNul, Request, SubjectId, Timestamp

DocumentId = Annotated[str, StringConstraints(pattern=r"^doc-[0-9a-z-]{1,64}$")]
Title = Annotated[str, StringConstraints(max_length=300), NoNul]


class DocumentType(StrEnum):
    PLAIN = "text/plain"
    MARKDOWN = "text/markdown"
    HTML = "text/html"
    PDF = "application/pdf"


class NewDocument(Request):
    """POST /memory/documents. Under an ID that is there already it takes that document's place."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=2_000_000), NoNul] | None = None
    content_base64: Annotated[str, StringConstraints(max_length=40_000_000)] | None = None
    """Of a PDF, in place of `text`."""
    media_type: DocumentType = DocumentType.PLAIN
    document_id: DocumentId | None = None
    title: Title = ""
    user_id: SubjectId | None = None
    agent: AgentName | None = None
    metadata: JsonObject = Field(default_factory=dict)
    """Part of every chunk's metadata, beside ``document_id``, ``position``, ``headings`` and ``title``."""

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        wanted, other = (self.text, self.content_base64)
        if self.media_type is DocumentType.PDF:
            wanted, other = other, wanted
        if wanted is None or other is not None:
            raise ValueError("give content_base64 of a PDF, text of everything else")
        return self


class Document(Answer):
    document_id: str
    tenant: str
    user_id: str
    agent: str | None = None
    title: str
    media_type: str
    metadata: JsonObject
    chunks: int
    created_at: Timestamp
    updated_at: Timestamp


class DocumentStored(Answer):
    document: Document
    added: int
    kept: int
    """Chunks that were there already: they keep their IDs and vectors."""
    removed: int


class DocumentPage(Answer):
    documents: list[Document]
    """By ID."""
    next_after: str | None = None


class DocumentChunks(Answer):
    """GET /memory/documents/{id}/chunks: the text around a hit is at the positions beside its own."""

    chunks: list[Memory]
