"""What the launcher reads from the environment, once. The services' own variables pass through it untouched."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LaunchError


@dataclass(frozen=True)
class LaunchSettings:
    data: Path
    """BUREAU_DATA: everything that outlives a run, and the run's own files."""
    port: int
    """BUREAU_PORT: the gateway's; the services' ports keep their distance from it."""
    database_url: str | None
    """DATABASE_URL: a Postgres of the user's; the embedded one then stays away."""
    redis_url: str | None
    """REDIS_URL: a Redis or Valkey of the user's; likewise."""
    raw_logs: bool
    """BUREAU_LOG_FORMAT was chosen by the user: their lines are shown as they are."""
    colour: bool
    environment: Mapping[str, str]
    """All of the user's variables: what they set wins over what the launcher would set."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "LaunchSettings":
        variables = dict(os.environ if environment is None else environment)
        port = variables.get("BUREAU_PORT", "8080")
        if not port.isdigit() or not 1024 + 80 <= int(port) <= 65535:
            raise LaunchError(f"BUREAU_PORT={port}: a number from 1104 to 65535, please")
        return cls(
            data=Path(variables.get("BUREAU_DATA", ".bureau")).absolute(),
            port=int(port),
            database_url=variables.get("DATABASE_URL") or None,
            redis_url=variables.get("REDIS_URL") or None,
            raw_logs="BUREAU_LOG_FORMAT" in variables,
            colour="NO_COLOR" not in variables,
            environment=variables,
        )
