"""Copies of the sessions' SQLite file, made while it is in use. `python -m services.sessions.sqlite_backup` makes one.

A copy is a whole database as of one moment. To restore: stop the service, put the copy in the database's place, remove
its -wal and -shm, start.
"""

import argparse
import os
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.sessions import sqlite_file
from services.sessions.settings import Settings

PAGES_AT_A_TIME = 1024
KEPT = 7
"""Copies, the newest; older ones make room after a new one is on disk."""
_UNFINISHED = ".part"


@dataclass(frozen=True, slots=True)
class Backup:
    path: Path
    size: int
    """Bytes."""
    seconds: float
    """How long the copying took."""


def back_up(path: Path, *, kept: int = KEPT) -> Backup:
    """Copies the database into `backups/` beside it; writers and readers go on meanwhile.

    Returns when the copy was found whole and is on disk. Raises sqlite3.Error or OSError; then no copy has been made,
    and none was removed.
    """
    began = time.perf_counter()
    folder = path.parent / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    copy = folder / f"{path.stem}-{stamp}.db"
    unfinished = copy.with_name(copy.name + _UNFINISHED)
    try:
        sqlite_file.create_file(unfinished)
        _copy(path, unfinished)
        _sync(unfinished)
        unfinished.rename(copy)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync(folder)
    for old in sorted(folder.glob(f"{path.stem}-*.db"))[:-kept]:
        old.unlink()
    return Backup(copy, copy.stat().st_size, round(time.perf_counter() - began, 3))


def _copy(path: Path, target: Path) -> None:
    with closing(sqlite_file.connect(path, read_only=True)) as source, closing(sqlite3.connect(target)) as copy:
        # One snapshot for all steps: without it every write of somebody else would make the copying start again.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        source.backup(copy, pages=PAGES_AT_A_TIME, sleep=0)
        source.execute("ROLLBACK")
        # The copy needs no -wal of its own; whoever opens it next turns it back.
        copy.execute("PRAGMA journal_mode = DELETE")
        found = [str(row[0]) for row in copy.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise sqlite3.DatabaseError(f"the copy is not whole: {'; '.join(found)}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.sessions.sqlite_backup", description=__doc__)
    parser.add_argument("--kept", type=int, default=KEPT, help="how many copies stay (default: %(default)s)")
    kept = parser.parse_args().kept
    path = Settings.from_environment().sqlite_path
    if path is None:
        sys.exit("SESSIONS_DATABASE_URL is no SQLite file: use pg_dump")
    if not path.exists():
        sys.exit(f"there is no {path}")
    if kept < 1:
        sys.exit("--kept: at least 1")
    made = back_up(path, kept=kept)
    sys.stdout.write(f"{made.path}  {made.size} bytes  {made.seconds} s\n")


if __name__ == "__main__":
    main()
