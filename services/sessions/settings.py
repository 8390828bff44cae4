"""The sessions service's settings."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from kit.settings import OptionalRedisUrl, ServerSettings

SQLITE = "sqlite:///"


def _known_database(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith((SQLITE, "postgresql://", "postgres://")):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return url


class Settings(ServerSettings):
    prefix = "SESSIONS_"

    port: int = Field(8004, ge=0, le=65535)
    database_url: Annotated[SecretStr, AfterValidator(_known_database)] = SecretStr(
        "sqlite:///.bureau/sessions/sessions.db"
    )
    """``sqlite:///relative/path``, ``sqlite:////absolute/path`` or ``postgresql://user:password@host/database``."""
    sqlite_readers: int = Field(4, ge=1, le=64)
    """Threads that read the SQLite file; one more writes."""
    postgres_connections: int = Field(10, ge=1, le=200)
    """At most so many connections to Postgres, per process."""
    postgres_statement_cache: int = Field(100, ge=0, le=1000)
    """Prepared statements kept per connection; 0 behind a pgbouncer in transaction mode."""

    redis_url: OptionalRedisUrl = SecretStr("")
    """Where the ends of sessions are cached and message rates are shared between replicas; empty: neither.
    For Postgres: SQLite on the same machine is quicker without."""
    redis_timeout_seconds: float = Field(0.25, gt=0, le=10)
    """How long a request waits for Redis, once; then nobody waits until Redis answers again."""
    cache_seconds: int = Field(24 * 3600, ge=1, le=30 * 24 * 3600)
    """How long the end of a session stays in Redis after its last change or reading into it."""
    max_messages_per_minute: int = Field(600, ge=0, le=10**9)
    """Messages that a user may store within any minute; 0: no limit."""
    max_per_user: int = Field(10_000, ge=0, le=10**7)
    """Active sessions that a user may have; 0: no limit."""
    max_message_bytes: int = Field(1024 * 1024, ge=0, le=2**31)
    """The largest message, in bytes of its JSON; 0: whatever a body may hold."""

    idle_days: int = Field(30, ge=0, le=36_500)
    """A session without activity for so long expires: it can be read, and resumed. 0: never."""
    cleanup_days: int = Field(7, ge=0, le=36_500)
    """Completed sessions without activity for so long are archived by the sweep; 0: never."""
    purge_archived_days: int = Field(0, ge=0, le=36_500)
    """Sessions that were archived so long ago are erased by the sweep; 0: never."""

    summariser: str = Field("extractive", pattern=r"^(extractive|openai:\S+)$", max_length=200)
    """Who summarises what was said: ``extractive`` keeps telling sentences and needs no model; ``openai:NAME`` asks a
    model, and falls back to ``extractive`` when that fails."""
    summariser_base_url: Annotated[str, Field(pattern=r"^https?://\S+$")] = "https://api.openai.com/v1"
    """Any endpoint that speaks OpenAI's chat completions."""
    summariser_api_key: SecretStr = SecretStr("")
    """Empty: the endpoint is called without one."""
    summariser_timeout_seconds: float = Field(30, gt=0, le=600)
    """Of one piece to summarise, a second try included."""
    compact_above_tokens: int = Field(4000, ge=100, le=200_000)
    """An active session with more than so many tokens, its summary included, is compacted by the sweep."""
    sweep_seconds: float = Field(300, ge=0, le=7 * 24 * 3600)
    """How often the service does by itself what `POST /sessions/sweep` does, for all tenants; 0: never."""

    @property
    def sqlite_path(self) -> Path | None:
        """Where the SQLite file is; None when sessions are kept in Postgres."""
        url = self.database_url.get_secret_value()
        return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None
