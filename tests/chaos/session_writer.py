"""A process that appends to a session until it is killed; it writes down each number that it was answered.

`python -m tests.chaos.session_writer <database> <run> <file of acknowledgements>`
"""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from bureau_contracts.sessions import NewMessage, NewSession, NewTurn, Role
from kit.clock import SystemClock
from kit.identity import Principal
from services.sessions.errors import SessionExists
from services.sessions.service import SessionsService
from services.sessions.store_sqlite import SqliteSessionStore

WRITER = Principal("acme", "anna")
SESSION = "sess-1"
TOGETHER = 32


async def main(database: Path, run: str, acknowledgements: Path) -> None:
    log = os.open(acknowledgements, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    store = SqliteSessionStore(database)
    await store.open()
    sessions = SessionsService(store, SystemClock())
    with suppress(SessionExists):
        await sessions.create(WRITER, NewSession(session_id=SESSION))
    async with asyncio.TaskGroup() as group:
        for number in range(TOGETHER):
            group.create_task(append(sessions, log, f"{run}-{number}", in_turns=number % 4 == 0))


async def append(sessions: SessionsService, log: int, name: str, *, in_turns: bool) -> None:
    for count in range(1_000_000):
        text = f"{name}-{count}"
        message = NewMessage(role=Role.USER, content=text)
        if in_turns:
            turn = NewTurn(turn_id=f"turn-{text}", messages=[message, message])
            first = (await sessions.store_turn(WRITER, SESSION, turn)).first_seq
            acknowledge(log, f"{first} {text}", f"{(first or 0) + 1} {text}")
        else:
            acknowledge(log, f"{(await sessions.add_message(WRITER, SESSION, message)).seq} {text}")


def acknowledge(log: int, *lines: str) -> None:
    """One write, so that a kill cannot leave half a line."""
    os.write(log, "".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
