"""Contracts of memory: what agents should still know tomorrow."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from bureau_contracts.sessions import SessionId
from bureau_contracts.shapes import AgentName, Answer, JsonObject, NoNul, Request, SubjectId, Timestamp

MemoryId = Annotated[str, StringConstraints(pattern=r"^mem-[0-9a-z-]{1,64}$")]
MemoryText = Annotated[str, StringConstraints(min_length=1, max_length=100_000, strip_whitespace=True), NoNul]
Importance = Annotated[float, Field(ge=0, le=1)]


class MemoryKind(StrEnum):
    FACT = "fact"
    PREFERENCE = "preference"
    EPISODE = "episode"
    PROCEDURE = "procedure"
    DOCUMENT = "document"


class SearchMode(StrEnum):
    HYBRID = "hybrid"
    VECTOR = "vector"
    TEXT = "text"


class Origin(StrEnum):
    """Who said it first. What a tool or a document says is nobody's wish."""

    USER = "user"
    AGENT = "agent"
    TOOL = "tool"
    DOCUMENT = "document"


class Quarantined(StrEnum):
    """Which memories are meant: those in quarantine are kept and listed, and given to no turn until released."""

    EXCLUDE = "exclude"
    INCLUDE = "include"
    ONLY = "only"


class SearchDegraded(StrEnum):
    STORE_AWAY = "store_away"
    """There are no results, because nobody could be asked for them."""
    EMBEDDER_AWAY = "embedder_away"
    """The results were found by their words alone."""


class NewMemory(Request):
    """POST /memory. The same text for the same owner is stored once."""

    text: MemoryText
    user_id: SubjectId | None = None
    """Whose memory; None means the caller's own. Another's needs a tenant-wide scope."""
    agent: AgentName | None = None
    session_id: SessionId | None = None
    source_seqs: list[Annotated[int, Field(ge=1, le=2**53)]] = Field(default_factory=list, max_length=1000)
    kind: MemoryKind = MemoryKind.FACT
    metadata: JsonObject = Field(default_factory=dict)
    importance: Importance = 0.5
    origin: Origin = Origin.USER
    expires_at: Timestamp | None = None


class NewMemories(Request):
    """POST /memory/batch: all are stored, or none."""

    memories: list[NewMemory] = Field(min_length=1, max_length=500)


class MemoryStored(Answer):
    memory_id: str
    created: bool
    """False when the owner had this text already; `memory_id` is then the one that was there."""


class MemoriesStored(Answer):
    memories: list[MemoryStored]


class Memory(Answer):
    memory_id: str
    tenant: str
    user_id: str
    agent: str | None = None
    session_id: str | None = None
    source_seqs: list[int] = []
    text: str
    kind: MemoryKind
    metadata: JsonObject
    importance: float
    valid_from: Timestamp
    valid_to: Timestamp | None = None
    """Until when it was true: another one took its place then."""
    supersedes: str | None = None
    superseded_by: str | None = None
    origin: Origin = Origin.USER
    quarantined: bool = False
    expires_at: Timestamp | None = None
    embedding_model: str
    """Empty as long as it has no vector: its embedder was away."""
    created_at: Timestamp
    updated_at: Timestamp
    last_used_at: Timestamp | None = None
    use_count: int = 0


class MemoryPatch(Request):
    """PATCH /memory/{id}: what is not sent stays; the version before is kept in its history."""

    text: MemoryText | None = None
    kind: MemoryKind | None = None
    metadata: JsonObject | None = None
    importance: Importance | None = None
    quarantined: bool | None = None
    """False releases it from quarantine."""
    expires_at: Timestamp | None = None


class SupersedeMemory(Request):
    """POST /memory/{id}/supersede: something else is true now. What is not sent is taken over from the old one."""

    text: MemoryText
    kind: MemoryKind | None = None
    metadata: JsonObject | None = None
    importance: Importance | None = None
    origin: Origin | None = None
    session_id: SessionId | None = None
    source_seqs: list[Annotated[int, Field(ge=1, le=2**53)]] | None = Field(None, max_length=1000)


class MemoryPage(Answer):
    memories: list[Memory]
    next_cursor: str | None = None


class MemoryVersion(Answer):
    """A memory as it was until `replaced_at`."""

    text: str
    kind: MemoryKind
    metadata: JsonObject
    importance: float
    quarantined: bool = False
    replaced_at: Timestamp


class ExportedMemory(Answer):
    memory: Memory
    versions: list[MemoryVersion] = Field(default_factory=list, max_length=200)
    """The newest first."""


class ExportPage(Answer):
    memories: list[ExportedMemory]
    next_after: str | None = None


class ImportMemories(Request):
    """POST /memory/import."""

    memories: list[ExportedMemory] = Field(min_length=1, max_length=200)


class MemoryImported(Answer):
    memory_id: str
    created: bool
    """False when its ID or its text was there already; it is left as it is."""


class MemoriesImported(Answer):
    memories: list[MemoryImported]


class MemoryHistory(Answer):
    versions: list[MemoryVersion]


class MemorySearch(Request):
    """POST /memory/search; GET takes the same, with `filter` as a JSON text."""

    q: Annotated[str, StringConstraints(min_length=1, max_length=20_000), NoNul]
    k: Annotated[int, Field(ge=1, le=100)] = 5
    user_id: SubjectId | None = None
    agent: AgentName | None = None
    kind: MemoryKind | None = None
    mode: SearchMode = SearchMode.HYBRID
    min_score: Annotated[float, Field(allow_inf_nan=False)] | None = None
    origins: list[Origin] = Field(default_factory=list, max_length=10)
    """Only of these; any, when empty."""
    exclude_origins: list[Origin] = Field(default_factory=list, max_length=10)
    quarantined: Quarantined = Quarantined.EXCLUDE
    as_of: Timestamp | None = None
    """What was true then."""
    superseded: bool = False
    """Also what is no longer true."""
    recency_half_life_days: Annotated[float, Field(gt=0, le=36_500)] | None = None
    """After so many days without a change a memory counts half. Without it age does not count."""
    importance_weight: Annotated[float, Field(ge=0, le=2)] = 0
    """How much importance counts: with 1 the most important memory counts three times the least."""
    filter: JsonObject | None = None
    """A condition on the metadata: ``{"and": [{"eq": ["project", "atlas"]}, {"not": {"gt": ["cost.total", 100]}}]}``.
    Operators: eq ne gt gte lt lte in contains exists, and or not."""


class MemoryHit(Answer):
    memory: Memory
    score: float
    """`relevance`, times the terms that were asked for. Higher is better."""
    relevance: float = 0
    """In hybrid mode 1 / (2 + place) over both rankings, among the words times `text_rank`; the ranking's own value
    otherwise."""
    recency: float = 1
    """0.5 to the power of its age over the half-life that was asked for; 1 when none was."""
    weight: float = 1
    """1 + importance_weight × (importance − 0.5): 1 when no weight was asked for."""
    similarity: float | None = None
    """Cosine, −1 … 1."""
    text_rank: float | None = None
    """The share of the query's words that it has, 0 … 1: a rare word counts more, one in another form half."""
    matched: list[str] = []
    """Why: ``vector``, ``text`` or both."""


class MemorySearchAnswer(Answer):
    results: list[MemoryHit]
    degraded: bool = False
    """True when something could not be asked; a turn does not die for lack of memories."""
    degraded_reason: SearchDegraded | None = None
    trace_id: str = ""


class SimilarPair(Answer):
    """Two memories of one owner that say nearly the same."""

    first: Memory
    second: Memory
    similarity: float


class SimilarPairs(Answer):
    pairs: list[SimilarPair]
    """The most similar first."""


class EmbedPurpose(StrEnum):
    """Some models embed what is looked for otherwise than what is found."""

    QUERY = "query"
    DOCUMENT = "document"


class EmbedTexts(Request):
    """POST /memory/embed: vectors of texts, of which nothing is kept."""

    texts: list[Annotated[str, StringConstraints(min_length=1, max_length=10_000), NoNul]] = Field(
        min_length=1, max_length=128
    )
    purpose: EmbedPurpose = EmbedPurpose.DOCUMENT


class Embeddings(Answer):
    model: str
    """Vectors of different models must not be compared."""
    dimensions: int
    vectors: list[list[float]]
    """Of length 1, one per text, in order."""


class MemoriesErased(Answer):
    status: str = "deleted"
    erased: int
