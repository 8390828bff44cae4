"""The registry's settings."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from kit.settings import ServerSettings
from services.registry.ranking import DEFAULT_THRESHOLD


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(ServerSettings):
    prefix = "REGISTRY_"

    port: int = Field(8003, ge=0, le=65535)
    file: Path = Path(".bureau/registry/registry.json")
    """The registry itself. Its backups, its lock and damaged versions of it stand in the same folder."""
    factory_prefixes: Annotated[tuple[str, ...], BeforeValidator(_split)] = ("examples.",)
    """Comma-separated: under which modules GET /registry/factories looks for what can be built."""
    search_threshold: float = Field(DEFAULT_THRESHOLD, ge=0, le=1)
    """Score under which a caller of the search should ask rather than guess; a probability."""
