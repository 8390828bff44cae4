"""A SQLite file that is damaged: finding out, and setting it aside whole, so that a new one can begin. Never deletes.

SQLite's own files belong together: a database without its -wal has lost what was committed last.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from services.sessions import sqlite_file

CHECK_SECONDS = 5.0
"""How long a start looks for damage. A file too large for that is taken as sound; `bureau doctor` looks at all."""
_COMPANIONS = ("", "-wal", "-shm")
_MARK = ".damaged-"
_INSTRUCTIONS = 10_000
"""Of SQLite's machine, between two looks at the clock."""

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def says_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite found the file itself to be wrong, and not just out of reach."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _DAMAGE


def findings(path: Path, seconds: float = CHECK_SECONDS) -> str:
    """What is wrong with the file, "" when nothing was found in time. Raises sqlite3.Error when it is out of reach."""
    if not path.exists() or path.stat().st_size == 0:
        left = path.with_name(path.name + "-wal")
        return f"{left.name} is there without its database" if left.exists() and left.stat().st_size else ""
    try:
        with closing(sqlite_file.connect(path)) as connection:
            _stop_after(connection, seconds)
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.DatabaseError as error:
        if says_damage(error):
            return str(error)
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return ""
        raise
    return "" if found == ["ok"] else "; ".join(found)


def set_aside(path: Path) -> Path:
    """Moves the database with its -wal and -shm to names that say when; returns the database's new path.

    All of them have their new name, on disk, before one loses its old: whenever this is cut off, nothing is lost.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    moved = [
        (old, path.with_name(f"{path.name}{_MARK}{stamp}{suffix}"))
        for suffix in _COMPANIONS
        if (old := path.with_name(path.name + suffix)).exists()
    ]
    for old, new in moved:
        os.link(old, new)
    _sync(path.parent)
    for old, _ in moved:
        old.unlink()
    _sync(path.parent)
    return path.with_name(f"{path.name}{_MARK}{stamp}")


def set_aside_before(path: Path) -> list[Path]:
    """The damaged databases that lie beside this one, until an operator restores or removes them."""
    found = path.parent.glob(f"{path.name}{_MARK}*")
    return sorted({each.with_name(each.name.removesuffix("-wal").removesuffix("-shm")) for each in found})


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Processes that start together look one after the other: what one of them began anew, no other sets aside."""
    with open(os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stop_after(connection: sqlite3.Connection, seconds: float) -> None:
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > end, _INSTRUCTIONS)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
