"""A SQLite file: how connections to it are opened, and its numbered migrations. Knows no table."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

BUSY_SECONDS = 5.0
"""How long a writer waits for another process on the same file."""


def create_folder(path: Path) -> None:
    """Makes the folder that the file is to be in."""
    path.parent.mkdir(parents=True, exist_ok=True)


def create_file(path: Path) -> None:
    """Makes the file for our user alone: it holds what people say."""
    create_folder(path)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection that may move between threads. A commit is on disk before it returns (WAL, synchronous=FULL)."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        _turn_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _turn_to_wal(connection: sqlite3.Connection) -> None:
    """SQLite answers "locked" at once, without waiting, while another process turns the same new file to WAL."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
        time.sleep(0.01)


def migrate(connection: sqlite3.Connection, folder: Path) -> list[str]:
    """Applies what is new in `folder` (``001_first.sql`` …), all or nothing; returns what it applied.

    Processes that start together wait for each other. Raises RuntimeError when a file that was applied has changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        new = [path.name for path in sorted(folder.glob("[0-9][0-9][0-9]_*.sql")) if _apply(connection, path)]
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return new


def _apply(connection: sqlite3.Connection, path: Path) -> bool:
    """False when it was applied before."""
    connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, sha256 TEXT NOT NULL) STRICT")
    text = path.read_text()
    digest = hashlib.sha256(text.encode()).hexdigest()
    applied = connection.execute("SELECT sha256 FROM migrations WHERE name = ?", (path.name,)).fetchone()
    if applied is not None:
        if applied["sha256"] != digest:
            raise RuntimeError(f"{path.name} was applied to this file with another text: migrations never change")
        return False
    for statement in _statements(text):
        connection.execute(statement)
    connection.execute("INSERT INTO migrations (name, sha256) VALUES (?, ?)", (path.name, digest))
    return True


def _statements(script: str) -> Iterator[str]:
    # Connection.executescript would do, but it commits first.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
