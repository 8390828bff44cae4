"""The registry's settings."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from kit.settings import ServerSettings
from services.registry.document import REVISIONS
from services.registry.ranking import DEFAULT_THRESHOLD


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def environment() -> Mapping[str, str]:
    """The process's variables, for secrets that records refer to; what they are is looked up when they are used."""
    return os.environ


class Settings(ServerSettings):
    prefix = "REGISTRY_"

    port: int = Field(8003, ge=0, le=65535)
    file: Path = Path(".bureau/registry/registry.json")
    """The registry itself. Its backups, its lock and damaged versions of it stand in the same folder."""
    revisions: int = Field(REVISIONS, ge=1, le=1000)
    """How many revisions of each agent and tool are kept."""
    factory_prefixes: Annotated[tuple[str, ...], BeforeValidator(_split)] = ("examples.",)
    """Comma-separated: under which modules GET /registry/factories looks for what can be built."""
    search_threshold: float = Field(DEFAULT_THRESHOLD, ge=0, le=1)
    """Score under which a caller of the search should ask rather than guess; a probability."""
    memory_url: str = Field("", pattern=r"^(https?://\S+)?$")
    """Where the memory service embeds texts for the search; also needs BUREAU_IDENTITY_PRIVATE_KEY and numpy (extra
    `vectors`). Empty: words alone decide."""
    embed_timeout_seconds: float = Field(0.15, gt=0, le=10)
    """How long a search waits for its query's embedding before words alone decide."""
    secret_env_prefix: str = Field("BUREAU_SECRET_", pattern=r"^[A-Z][A-Z0-9_]{2,}_$")
    """Records may refer to variables that begin like this (`env:NAME`), and to no others."""
    secret_folder: Path | None = None
    """Records may refer to files below this folder (`file:/PATH`); none: to no files."""
    mcp_commands: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    """Comma-separated absolute paths or names: programs that may be started as MCP servers. Arguments are whatever a
    record says, so never an interpreter, a shell or a package runner unless all who may write records may run code."""
    listing_seconds: float = Field(300, ge=1, le=86400)
    """How often MCP servers are asked what they offer."""
    remote_hosts: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    """Comma-separated: the hosts that MCP servers and remote agents may be asked at (`*.example.com` is every name
    below); none: any host."""

    @field_validator("secret_env_prefix")
    @classmethod
    def _not_our_own_settings(cls, prefix: str) -> str:
        if prefix.startswith(("BUREAU_", "REGISTRY_")) and not prefix.startswith("BUREAU_SECRET_"):
            raise ValueError("variables with this prefix are Bureau's own, keys among them")
        return prefix
