"""Sessions in a SQLite file on a disk of one megabyte that is really full: nothing that was acknowledged is lost."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.sessions.service import BEYOND_EVERY_SEQ
from services.sessions.sqlite_damage import set_aside_before
from services.sessions.store_sqlite import SqliteSessionStore
from tests.chaos.session_writer import SESSION, WRITER
from tests.chaos.test_registry_full_disk import SmallDisk, _mounted
from tests.session_stores import opened

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    (tmp_path / "disk").mkdir()
    with _mounted(tmp_path / "disk") as disk:
        yield disk


def write_until_refused(disk: SmallDisk, log: Path, run: str) -> tuple[dict[int, str], str]:
    """What was acknowledged, by number, and what the writer said when it ended."""
    log.touch()
    writer = [sys.executable, "-m", "tests.chaos.session_writer", str(disk.folder / "sessions.db"), run, str(log)]
    ended = subprocess.run(
        [*disk.inside, *writer],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ended.returncode != 0, "the disk did not fill up"
    return {int(line.split()[0]): line.split()[1] for line in log.read_text().splitlines()}, ended.stderr


def brought_out(disk: SmallDisk, folder: Path) -> Path:
    """The file as it is, on a disk with room."""
    folder.mkdir()
    for file in disk.seen.glob("sessions.db*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder / "sessions.db"


async def test_what_was_acknowledged_before_the_disk_was_full_is_there(disk: SmallDisk, tmp_path: Path) -> None:
    acknowledged, said = write_until_refused(disk, tmp_path / "first", "run0")
    assert len(acknowledged) > 50
    assert "the sessions' file cannot be used" in said
    again, said = write_until_refused(disk, tmp_path / "second", "run1")  # it is full from the beginning
    assert "full" in said or "disk I/O" in said
    assert not set(again) & set(acknowledged), "one number was given to two messages"
    database = brought_out(disk, tmp_path / "copy")
    async with opened(SqliteSessionStore(database)) as store:
        count, messages = await store.history(
            WRITER.reach(), SESSION, after=0, before=BEYOND_EVERY_SEQ, limit=10_000_000, newest=False
        )
    assert set_aside_before(database) == []
    assert [message.seq for message in messages] == list(range(1, count + 1))
    kept = {message.seq: message.content for message in messages}
    assert {seq: kept.get(seq) for seq in acknowledged | again} == acknowledged | again
