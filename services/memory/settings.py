"""The memory's settings."""

from enum import StrEnum

from pydantic import Field, SecretStr

from kit.settings import ServerSettings


class EmbedderName(StrEnum):
    HASHED = "hashed"
    SENTENCE = "sentence"


class Settings(ServerSettings):
    prefix = "MEMORY_"

    port: int = Field(8005, ge=0, le=65535)
    database_url: SecretStr = SecretStr("postgresql://bureau@127.0.0.1:5432/bureau")
    """Postgres 15 or newer with pgvector 0.8 or newer. It may be away when the service starts."""
    pool_size: int = Field(10, ge=1, le=200)
    """Connections to Postgres at most."""
    statement_cache_size: int = Field(100, ge=0)
    """Prepared statements per connection; 0 behind a pgbouncer in transaction mode."""
    embedder: EmbedderName = EmbedderName.HASHED
    """hashed: sees spelling, needs nothing. sentence: sees meaning, needs `make sentence`."""
    search_timeout_seconds: float = Field(1.0, gt=0, le=60)
    """How long a search waits for Postgres before it answers degraded: a turn waits for it."""
    request_timeout_seconds: float = Field(10.0, gt=0, le=600)
    """How long every other call waits for Postgres before it answers 503."""
    exact_rows: int = Field(4000, ge=0)
    """Up to so many memories within reach a search compares all of them; beyond, it uses the HNSW index."""
    ef_search: int = Field(100, ge=1, le=1000)
    """hnsw.ef_search: candidates that an index scan keeps. More finds more and takes longer."""
    usage_flush_seconds: float = Field(5.0, gt=0, le=3600)
    """How often use counts go to Postgres. What was not written when the process is killed is not counted."""
