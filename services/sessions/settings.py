"""The sessions service's settings."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from kit.settings import ServerSettings

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

    @property
    def sqlite_path(self) -> Path | None:
        """Where the SQLite file is; None when sessions are kept in Postgres."""
        url = self.database_url.get_secret_value()
        return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None
