"""What is particular to the index in SQLite: it is kept behind the writes, and a purge leaves nothing in the file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bureau_contracts.sessions import NewMessage, NewSession, NewTurn, Role
from kit.clock import SystemClock
from kit.identity import Principal
from services.sessions import search_sqlite
from services.sessions.search import SearchService
from services.sessions.search_sqlite import SqliteMessageIndex
from services.sessions.service import SessionsService
from services.sessions.store_sqlite import SqliteSessionStore
from tests.session_stores import opened
from tests.waiting import eventually

ANNA = Principal("acme", "anna")
SECRET = "xylophonequartz"


def message(text: str) -> NewMessage:
    return NewMessage(role=Role.USER, content=text)


def holds(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as file:
        count: int = file.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count


def bytes_of(path: Path) -> bytes:
    files = [path, path.with_name(path.name + "-wal")]
    return b"".join(file.read_bytes() for file in files if file.exists())


@pytest.mark.parametrize("indexed", [True, False])
async def test_after_a_purge_nothing_of_the_text_is_in_the_file(tmp_path: Path, indexed: bool) -> None:
    path = tmp_path / "sessions.db"
    store = SqliteSessionStore(path)
    async with opened(store):
        index, sessions = SqliteMessageIndex(store.database), SessionsService(store, SystemClock())
        await index.open()
        for session_id, word in (("sess-1", SECRET), ("sess-2", "harmless")):
            await sessions.create(ANNA, NewSession(session_id=session_id, title=f"about {word}", state={"w": word}))
            turn = NewTurn(turn_id="turn-1", messages=[message(f"{word} {word}{number} x") for number in range(50)])
            await sessions.store_turn(ANNA, session_id, turn)
        if indexed:
            search = SearchService(index)
            page = await search.search(ANNA, SECRET, user_id=None, session_id=None, role=None, limit=5, cursor=None)
            assert len(page.hits) == 5
        assert SECRET.encode() in bytes_of(path)
        await sessions.purge(ANNA, "sess-1")
        await eventually(lambda: holds(path, "purges") == 0)
        left = bytes_of(path)
        assert SECRET.encode() not in left
        assert SECRET.encode()[2:] not in left, "an index shortens words by what they begin with alike"
        assert b"harmless" in left
        await index.close()


async def test_what_nobody_searches_is_indexed_when_the_file_is_quiet(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    store = SqliteSessionStore(path)
    async with opened(store):
        index, sessions = SqliteMessageIndex(store.database), SessionsService(store, SystemClock())
        await sessions.create(ANNA, NewSession(session_id="sess-1"))
        for number in range(3):
            await sessions.add_message(ANNA, "sess-1", message(f"number {number}"))
        assert (holds(path, "unindexed"), holds(path, "message_words")) == (3, 0)
        await index.open()
        await eventually(lambda: (holds(path, "unindexed"), holds(path, "message_words")) == (0, 3))
        await index.close()


async def test_a_search_that_cannot_catch_up_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_sqlite, "BATCH", 2)
    monkeypatch.setattr(search_sqlite, "CATCH_UP_SECONDS", -1)
    store = SqliteSessionStore(tmp_path / "sessions.db")
    async with opened(store):
        search, sessions = SearchService(SqliteMessageIndex(store.database)), SessionsService(store, SystemClock())
        await sessions.create(ANNA, NewSession(session_id="sess-1"))
        for number in range(3):
            await sessions.add_message(ANNA, "sess-1", message(f"number {number}"))

        async def found() -> tuple[int, bool]:
            page = await search.search(ANNA, "number", user_id=None, session_id=None, role=None, limit=5, cursor=None)
            return len(page.hits), page.indexing

        assert await found() == (2, True)
        assert await found() == (3, False)
