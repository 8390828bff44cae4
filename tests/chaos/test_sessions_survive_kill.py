"""kill -9 of a writing process at random moments: what was acknowledged is there, once and in order."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from services.sessions.service import BEYOND_EVERY_SEQ
from services.sessions.store_sqlite import SqliteSessionStore
from tests.chaos.session_writer import SESSION, WRITER

ROOT = Path(__file__).resolve().parents[2]
KILLS = 4
LEAST_LINES = 50
"""So many acknowledgements each run must have given before it is killed: a kill of nothing shows nothing."""


async def test_acknowledged_messages_survive_kill_9(tmp_path: Path) -> None:
    database = tmp_path / "sessions.db"
    acknowledged: dict[int, str] = {}
    for run in range(KILLS):
        lines = await asyncio.to_thread(write_until_killed, database, tmp_path / f"acknowledged-{run}", f"run{run}")
        for line in lines:
            seq, text = line.split()
            assert int(seq) not in acknowledged, "one number was given to two messages"
            acknowledged[int(seq)] = text

    store = SqliteSessionStore(database)
    await store.open()
    try:
        count, messages = await store.history(
            WRITER.reach(), SESSION, after=0, before=BEYOND_EVERY_SEQ, limit=10_000_000, newest=False
        )
        record = await store.get(WRITER.reach(), SESSION)
    finally:
        await store.close()
    kept = {message.seq: message.content for message in messages}
    assert [message.seq for message in messages] == list(range(1, count + 1))
    assert record.session.message_count == count
    assert {seq: kept.get(seq) for seq in acknowledged} == acknowledged
    # A message is there once, the two of a turn twice; a turn that was cut is not there at all.
    times: dict[str, int] = {}
    for message in messages:
        times[str(message.content)] = times.get(str(message.content), 0) + 1
    in_turns = {text for text in times if int(text.split("-")[1]) % 4 == 0}
    assert {text for text, number in times.items() if number != (2 if text in in_turns else 1)} == set()


def write_until_killed(database: Path, log: Path, run: str) -> list[str]:
    log.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.session_writer", str(database), run, str(log)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        deadline = time.monotonic() + 30
        while log.read_bytes().count(b"\n") < LEAST_LINES:
            assert process.poll() is None
            assert time.monotonic() < deadline, "the writer does not write"
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.7))  # the random moment is the test
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    return log.read_text().splitlines()
