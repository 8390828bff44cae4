"""The memory's settings."""

from typing import Annotated

from pydantic import Field, SecretStr

from kit.settings import OptionalRedisUrl, ServerSettings

_EMBEDDER = r"^(hashed|sentence|(openai|vertex):\S+@[1-9][0-9]{0,3})$"

Address = Annotated[str, Field(pattern=r"^https?://\S+$")]


class Settings(ServerSettings):
    prefix = "MEMORY_"

    port: int = Field(8005, ge=0, le=65535)
    database_url: SecretStr = SecretStr("postgresql://bureau@127.0.0.1:5432/bureau")
    """Postgres 15 or newer with pgvector 0.8 or newer. It may be away when the service starts."""
    pool_size: int = Field(10, ge=4, le=200)
    """Connections to Postgres at most. Two readings of conversations and the upkeep hold one each while they ask for
    another."""
    statement_cache_size: int = Field(40, ge=0)
    """Prepared statements per connection; 0 behind a pgbouncer in transaction mode."""
    embedder: Annotated[str, Field(pattern=_EMBEDDER, max_length=200)] = "hashed"
    """``hashed``: sees spelling, needs nothing. ``sentence``: sees meaning, needs `make sentence`.
    ``openai:MODEL@N``: a model of N dimensions at any server that speaks OpenAI's API. ``vertex:MODEL@N``: one on
    Vertex AI. After a change memories get their vectors anew, in the background."""
    previous_embedder: Annotated[str, Field(pattern=f"{_EMBEDDER}|^$", max_length=200)] = ""
    """The embedder before a change: until every memory has its new vector, those without are found by their old one."""
    upkeep_seconds: float = Field(5.0, gt=0, le=3600)
    """How often memories without a vector are looked for: stored while the embedder was away, or by another one."""
    forget_model: Annotated[str, Field(pattern=r"^[a-z0-9._-]{0,50}$")] = ""
    """The name of a model whose vectors are deleted, as `/health` told it: one that no process uses any more."""
    embedder_shortens: bool = False
    """Whether an ``openai:`` or ``vertex:`` model is asked for N dimensions: not every one can give fewer."""
    embedder_max_tokens: int = Field(2000, ge=16, le=100_000)
    """How much of a text such a model reads; more of a text is cut."""
    embedder_timeout_seconds: float = Field(5.0, gt=0, le=120)
    """Of one call to it. A search waits for it."""
    openai_base_url: Address = "https://api.openai.com/v1"
    """Where ``openai:`` models are."""
    openai_api_key: SecretStr = SecretStr("")
    """Empty: the server is asked without one."""
    vertex_project: str = ""
    """The Google Cloud project of ``vertex:`` models; credentials come as Google's libraries find them."""
    vertex_location: str = "us-central1"
    """The region they are asked in."""
    vertex_base_url: Address | None = None
    """Another address of the same API: a proxy, or a private endpoint."""
    sessions_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    """Where conversations are, for POST /memory/extract; needs BUREAU_IDENTITY_PRIVATE_KEY too. Empty: 503."""
    extractor: Annotated[str, Field(pattern=r"^(rules|openai:\S+)$", max_length=200)] = "rules"
    """``rules``: patterns of English, needs nothing. ``openai:MODEL``: a model at MEMORY_OPENAI_BASE_URL; when it fails
    the rules do it, and the answer says so."""
    extractor_timeout_seconds: float = Field(30.0, gt=0, le=120)
    """Of one call to that model."""
    redis_url: OptionalRedisUrl = SecretStr("")
    """Where uses wait until they are written, so that a kill loses none. Empty: they wait in the process."""
    usage_days: float = Field(90, gt=0, le=3650)
    """How long it is kept which search was given which memories."""
    search_timeout_seconds: float = Field(1.0, gt=0, le=60)
    """How long a search waits for Postgres before it answers degraded: a turn waits for it."""
    request_timeout_seconds: float = Field(10.0, gt=0, le=600)
    """How long every other call waits for Postgres before it answers 503."""
    exact_rows: int = Field(4000, ge=0)
    """Up to so many memories within reach a search compares all of them (of more than 8,000 altogether, more: 14,000 of
    100,000); beyond, it uses the HNSW index."""
    ef_search: int = Field(100, ge=1, le=1000)
    """hnsw.ef_search: candidates that an index scan keeps. More finds more and takes longer."""
    text_language: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")] = "english"
    """A text search configuration of Postgres (`\\dF` lists them): a search by words then finds "invoice" by "invoices"
    too. ``simple``: words as written alone. After a change memories are read anew, in the background."""
    quarantine_origins: Annotated[str, Field(pattern=r"^((user|agent|tool|document)(,|$))*$")] = ""
    """Comma-separated: memories of these origins (``tool,document``) are given to no turn until released."""
    purge_days: float = Field(7, ge=0, le=3650)
    """How long a deleted memory can be restored, and an expired one is kept."""
    usage_flush_seconds: float = Field(5.0, gt=0, le=3600)
    """How often use counts and uses go to Postgres. Counts not written when the process is killed are lost."""
