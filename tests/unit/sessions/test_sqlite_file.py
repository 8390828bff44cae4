"""Opening a SQLite file, together with others."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from services.sessions import sqlite_file

OPENERS = 6
ROUNDS = 30
"""Without the wait about one round in ten failed."""


def test_whoever_opens_a_new_file_at_the_same_moment_waits_for_the_others(tmp_path: Path) -> None:
    together = Barrier(OPENERS)

    def journal_mode(path: Path) -> str:
        together.wait(10)
        connection = sqlite_file.connect(path)
        try:
            row: sqlite3.Row = connection.execute("PRAGMA journal_mode").fetchone()
            return str(row[0])
        finally:
            connection.close()

    with ThreadPoolExecutor(OPENERS) as openers:
        for number in range(ROUNDS):
            path = tmp_path / f"{number}.db"
            sqlite_file.create_file(path)
            assert set(openers.map(journal_mode, [path] * OPENERS)) == {"wal"}
