"""A copy of the file that is in use is whole, and as of one moment."""

import asyncio
import itertools
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bureau_contracts.sessions import NewMessage, NewSession, Role
from kit.clock import SystemClock
from kit.errors import Unavailable
from kit.identity import Principal
from services.sessions.service import SessionsService
from services.sessions.sqlite_backup import KEPT, back_up
from services.sessions.store_sqlite import SqliteSessionStore
from tests.session_stores import opened

ANNA = Principal("acme", "anna")
WRITERS = 8


async def test_what_was_acknowledged_before_a_copy_is_in_it_while_eight_write(tmp_path: Path) -> None:
    store = SqliteSessionStore(tmp_path / "sessions.db")
    acknowledged = dict.fromkeys(range(WRITERS), 0)
    async with opened(store):
        sessions = SessionsService(store, SystemClock())

        async def write(writer: int) -> None:
            for _ in itertools.count():
                message = NewMessage(role=Role.USER, content=f"writer {writer} " * 50)
                acknowledged[writer] = (await sessions.add_message(ANNA, f"sess-{writer}", message)).seq

        for writer in range(WRITERS):
            await sessions.create(ANNA, NewSession(session_id=f"sess-{writer}"))
        writers = [asyncio.create_task(write(writer)) for writer in range(WRITERS)]
        copies = []
        for _ in range(4):
            before = dict(acknowledged)
            made = await store.database.back_up()
            copies.append((made, before, dict(acknowledged)))
        for task in writers:
            task.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
    assert copies[-1][1] != copies[0][1], "nobody wrote meanwhile"
    for made, before, after in copies:
        assert made.path.stat().st_mode & 0o077 == 0
        await _holds(made.path, before, after, tmp_path / f"restored-{made.path.name}")


async def _holds(copy: Path, before: dict[int, int], after: dict[int, int], restored: Path) -> None:
    async with opened(SqliteSessionStore(_copied(copy, restored))) as store:
        sessions = SessionsService(store, SystemClock())
        for writer in range(WRITERS):
            page = await sessions.history(ANNA, f"sess-{writer}", before=None, after=None, limit=100_000)
            seqs = [message.seq for message in page.messages]
            assert seqs == list(range(1, len(seqs) + 1))
            # One write of each may have been on its way when the copy began and ended.
            assert before[writer] <= len(seqs) <= after[writer] + 1


def _damage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 8192)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _copied(copy: Path, restored: Path) -> Path:
    restored.write_bytes(copy.read_bytes())
    return restored


async def test_only_the_newest_copies_stay(tmp_path: Path) -> None:
    async with opened(SqliteSessionStore(tmp_path / "sessions.db")):
        made = [back_up(tmp_path / "sessions.db") for _ in range(KEPT + 2)]
    assert _files(tmp_path / "backups") == [each.path for each in made[2:]]


async def test_a_copy_that_fails_leaves_nothing_and_costs_no_older_one(tmp_path: Path) -> None:
    store = SqliteSessionStore(tmp_path / "sessions.db")
    async with opened(store):
        first = await store.database.back_up()
        _damage(tmp_path / "sessions.db")
        with pytest.raises(Unavailable):
            await store.database.back_up()
        assert _files(tmp_path / "backups") == [first.path]
        with closing(sqlite3.connect(first.path)) as copy:
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
