"""Contracts of extraction: what a conversation leaves behind as memories."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from bureau_contracts.memory import MemoryKind, Origin
from bureau_contracts.sessions import SessionId
from bureau_contracts.shapes import Answer, Request

Seq = Annotated[int, Field(ge=1, le=2**53)]


class ExtractMemories(Request):
    """POST /memory/extract. Memories are stored for the session's own user."""

    session_id: SessionId
    from_seq: Seq | None = None
    """None: the first message that was not read yet."""
    to_seq: Seq | None = None
    """None: the last message there is; at most 500 are read by one call."""
    tool_results: bool = False
    """Whether results of tools are read too. What they give has the origin ``tool``, and is never an instruction."""


class ExtractionAction(StrEnum):
    ADDED = "added"
    UPDATED = "updated"
    """A memory says the same, in more words; the version before is in its history."""
    SUPERSEDED = "superseded"
    """Something else is true now; `replaced` is what was."""
    IGNORED = "ignored"


class Extracted(Answer):
    """One thing that was said, and what became of it. Texts are in the memories alone, so that they go with them."""

    action: ExtractionAction
    kind: MemoryKind
    origin: Origin
    source_seqs: list[int]
    memory_id: str | None = None
    replaced: str | None = None
    reason: str = ""
    """Why it was ignored: ``known``, ``older``, ``weaker_origin``, ``instruction``, ``not_grounded``."""


class Extraction(Answer):
    session_id: str
    from_seq: int
    to_seq: int
    """Less than `from_seq` when there was nothing to read."""
    results: list[Extracted]
    extractor: str
    """Which one read it: ``rules``, or a model's name."""
    fallback: str = ""
    """Why the rules did it in place of a model."""
    complete: bool = True
    """False when further messages wait for another call."""
    repeated: bool = False
    """Whether this is what an earlier call did."""
