"""What an operator does with the sessions' store as a whole. Knows no HTTP and no database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bureau_contracts.sessions import BackupMade
from kit.errors import Conflict
from kit.health import Degraded
from kit.identity import ADMIN, Principal
from kit.logs import get_logger

log = get_logger(__name__)


class BackupElsewhere(Conflict):
    code = "backup_elsewhere"

    def __init__(self) -> None:
        super().__init__("these sessions are in Postgres: back them up there, with pg_dump")


class Copy(Protocol):
    """A copy that was made: where it lies, its bytes, how many seconds it took."""

    @property
    def path(self) -> Path: ...
    @property
    def size(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class OwnFile(Protocol):
    """A store that is a file of this service's own."""

    def condition(self) -> str:
        """What an operator has to do about it, "" when nothing."""

    async def back_up(self) -> Copy:
        """A whole copy, as of one moment, on disk. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Operations:
    file: OwnFile | None
    """None: the store is a server's."""

    async def back_up(self, principal: Principal) -> BackupMade:
        """Raises Forbidden, BackupElsewhere, Unavailable."""
        principal.require(ADMIN)
        if self.file is None:
            raise BackupElsewhere
        made = await self.file.back_up()
        log.info("backup_made", path=str(made.path), bytes=made.size, seconds=made.seconds)
        return BackupMade(name=made.path.name, size=made.size, seconds=made.seconds)

    async def condition(self) -> str:
        """For `/health`. Raises Degraded while an operator has something to do."""
        found = self.file.condition() if self.file else ""
        if found:
            raise Degraded(found)
        return "no damage known"
