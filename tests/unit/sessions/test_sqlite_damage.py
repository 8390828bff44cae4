"""A damaged file is set aside whole and said, never deleted; a sound one is left alone."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kit.errors import Unavailable
from kit.identity import Reach
from services.sessions import sqlite_damage, sqlite_file
from services.sessions.errors import SessionNotFound
from services.sessions.store_sqlite import SqliteSessionStore
from tests.session_stores import opened
from tests.unit.sessions.records import a_record

ANNA = Reach("acme", "anna")


def overwrite_the_beginning(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\x00" * 4096)


def overwrite_the_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 8192))


def cut_in_half(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def write_something_else(path: Path) -> None:
    path.write_text("something else entirely" * 100)


DAMAGES = [overwrite_the_beginning, overwrite_the_middle, cut_in_half, write_something_else]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
async def test_a_damaged_file_is_set_aside_and_a_new_one_begins(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "sessions.db"
    async with opened(SqliteSessionStore(path)) as store:
        await store.create(a_record())
    damage(path)
    damaged = path.read_bytes()
    store = SqliteSessionStore(path)
    async with opened(store):
        with pytest.raises(SessionNotFound):
            await store.get(ANNA, "sess-1")
        await store.create(a_record())
        (aside,) = sqlite_damage.set_aside_before(path)
        assert aside.read_bytes() == damaged
        assert aside.name in store.database.condition()
    again = SqliteSessionStore(path)
    async with opened(again):
        assert (await again.get(ANNA, "sess-1")).session.session_id == "sess-1"
        assert sqlite_damage.set_aside_before(path) == [aside]
        aside.rename(tmp_path / "looked-at.db")
        assert again.database.condition() == ""


async def test_a_database_that_is_gone_beside_its_wal_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    async with opened(SqliteSessionStore(path)) as store:
        await store.create(a_record())
        wal = (tmp_path / "sessions.db-wal").read_bytes()
    (tmp_path / "sessions.db-wal").write_bytes(wal)
    path.unlink()
    async with opened(SqliteSessionStore(path)):
        (aside,) = sqlite_damage.set_aside_before(path)
        assert aside.with_name(aside.name + "-wal").read_bytes() == wal


async def test_damage_that_shows_while_the_file_is_in_use_is_said(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    store = SqliteSessionStore(path)
    async with opened(store):
        await store.create(a_record())

        def damaged(_: sqlite3.Connection) -> None:
            with closing(sqlite3.connect(tmp_path / "other.db")) as other:
                (tmp_path / "other.db").write_text("no database" * 100)
                other.execute("SELECT * FROM sqlite_schema")

        with pytest.raises(Unavailable):
            await store.database.read(damaged)
        assert "damaged" in store.database.condition()


def test_a_sound_file_is_left_alone_however_little_time_there_is(tmp_path: Path) -> None:
    path = tmp_path / "sound.db"
    sqlite_file.create_file(path)
    with closing(sqlite_file.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000) "
            "INSERT INTO t SELECT x FROM n"
        )
    assert sqlite_damage.findings(path) == ""
    assert sqlite_damage.findings(path, seconds=-1) == ""


def test_setting_aside_takes_the_wal_along(tmp_path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"s.db{suffix}").write_text(f"content{suffix}")
    aside = sqlite_damage.set_aside(tmp_path / "s.db")
    assert {path.name.removeprefix(aside.name): path.read_text() for path in tmp_path.iterdir()} == {
        "": "content", "-wal": "content-wal", "-shm": "content-shm",
    }  # fmt: skip
    assert sqlite_damage.set_aside_before(tmp_path / "s.db") == [aside]
