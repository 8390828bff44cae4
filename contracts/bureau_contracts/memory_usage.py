"""Contracts of usage: which memories a turn was given, and whether they helped."""

from typing import Annotated

from pydantic import Field, StringConstraints

from bureau_contracts.memory import Memory, MemoryId
from bureau_contracts.shapes import Answer, NoNul, Request, SubjectId, Timestamp, TraceId


class ReportUse(Request):
    """POST /memory/usage: whether what a turn was given helped it. Reported again, the last word counts."""

    trace_id: TraceId
    memory_ids: list[MemoryId] | None = Field(None, min_length=1, max_length=100)
    """None: all that the turn was given."""
    helped: bool
    note: Annotated[str, StringConstraints(max_length=2000), NoNul] = ""
    user_id: SubjectId | None = None


class UseReported(Answer):
    reported: int
    """Memories that were marked."""


class MemoryGiven(Answer):
    memory_id: str
    score: float
    helped: bool | None = None
    note: str = ""


class MemoryUse(Answer):
    """One search: who asked what, and which memories it was given. Those that were purged since are not named."""

    use_id: str
    trace_id: str
    user_id: str
    agent: str | None = None
    query: str
    """Its first 2,000 characters."""
    searched_at: Timestamp
    results: list[MemoryGiven]


class MemoryUses(Answer):
    uses: list[MemoryUse]
    """Newest first."""


class UnusedMemories(Answer):
    memories: list[Memory]
    """The longest unused first."""


class HarmfulMemory(Answer):
    memory: Memory
    helped: int
    harmed: int


class HarmfulMemories(Answer):
    memories: list[HarmfulMemory]
    """Reported more often as a harm than as a help; the worst first."""
