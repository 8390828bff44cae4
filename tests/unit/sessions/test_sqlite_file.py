"""Migrations of a SQLite file, and how it is kept."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.sessions import sqlite_file

FIRST = """
CREATE TABLE one (a TEXT);
-- a comment; with a semicolon
CREATE TABLE
  two (b TEXT);
"""


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite_file.connect(tmp_path / "file.db")
    yield connection
    connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "001_first.sql").write_text(FIRST)
    return folder


def tables(connection: sqlite3.Connection) -> set[str]:
    return {row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_migrations_are_applied_once_and_in_order(connection: sqlite3.Connection, folder: Path) -> None:
    assert sqlite_file.migrate(connection, folder) == ["001_first.sql"]
    (folder / "002_second.sql").write_text("ALTER TABLE one ADD COLUMN c TEXT;\n")
    assert sqlite_file.migrate(connection, folder) == ["002_second.sql"]
    assert sqlite_file.migrate(connection, folder) == []
    assert tables(connection) == {"migrations", "one", "two"}


def test_a_migration_that_fails_leaves_nothing_behind(connection: sqlite3.Connection, folder: Path) -> None:
    (folder / "002_second.sql").write_text("CREATE TABLE three (c TEXT);\nNONSENSE;\n")
    with pytest.raises(sqlite3.OperationalError):
        sqlite_file.migrate(connection, folder)
    assert tables(connection) == set()


def test_a_migration_that_was_applied_must_not_change(connection: sqlite3.Connection, folder: Path) -> None:
    sqlite_file.migrate(connection, folder)
    (folder / "001_first.sql").write_text("CREATE TABLE other (a TEXT);\n")
    with pytest.raises(RuntimeError, match="001_first"):
        sqlite_file.migrate(connection, folder)


def test_a_commit_is_synced(connection: sqlite3.Connection) -> None:
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_the_file_is_for_our_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "sessions.db"
    sqlite_file.create_file(path)
    sqlite_file.create_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
