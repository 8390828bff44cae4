"""An asyncpg pool with bounds and time-outs, and numbered SQL migrations applied once, under a lock."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

_NUMBERED = re.compile(r"^(\d{3})_[a-z0-9_]+\.sql$")

Initialise = Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[None]]


async def open_pool(
    url: str,
    *,
    max_size: int = 10,
    command_timeout_seconds: float = 10,
    statement_cache_size: int = 100,
    init: Initialise | None = None,
    reset_on_release: bool = True,
) -> "asyncpg.Pool[asyncpg.Record]":
    """Connects on first use, so that a service starts while its database is away.

    `statement_cache_size` 0 is for a pgbouncer in transaction mode. `reset_on_release` False saves a round trip per
    use, for who changes no setting outside of a transaction; an open transaction is rolled back all the same.
    """
    return await asyncpg.create_pool(
        url,
        connect=_Attempts().connect,
        min_size=0,
        max_size=max_size,
        timeout=3,
        command_timeout=command_timeout_seconds,
        statement_cache_size=statement_cache_size,
        max_inactive_connection_lifetime=300,
        init=init,
        reset=None if reset_on_release else _leave,
    )


class _Attempts:
    """Attempts to connect that are not broken off by whoever stops waiting for one: each ends by itself, within its
    time-out. asyncpg leaves a future behind that nobody asks when one is broken off as the other side hangs up, and
    asyncio then logs "Future exception was never retrieved", once per caller in an outage."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[asyncpg.Connection[asyncpg.Record]]] = set()

    async def connect(self, *arguments: Any, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        attempt = asyncio.ensure_future(asyncpg.connect(*arguments, **options))
        self._running.add(attempt)
        attempt.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            attempt.add_done_callback(_hang_up)
            raise


def _hang_up(attempt: "asyncio.Task[asyncpg.Connection[asyncpg.Record]]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().terminate()


async def _leave(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """In place of the query with which asyncpg resets a session's settings."""


async def migrate(pool: "asyncpg.Pool[asyncpg.Record]", schema: str, folder: Path) -> list[str]:
    """Applies what is new in `folder` (``001_first.sql`` …) to `schema`, in one transaction; returns what it applied.

    Replicas that start together wait for each other. Raises RuntimeError when a file that was applied has changed.
    """
    files = _numbered(folder)
    lock = int.from_bytes(hashlib.sha256(f"bureau:{schema}".encode()).digest()[:8], "big", signed=True)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", lock, timeout=60)
        await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        await connection.execute(
            f'CREATE TABLE IF NOT EXISTS "{schema}".migrations '
            "(name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = {
            row["name"]: row["sha256"]
            for row in await connection.fetch(f'SELECT name, sha256 FROM "{schema}".migrations')  # noqa: S608 - ours
        }
        new = []
        for path in files:
            text = path.read_text()
            digest = hashlib.sha256(text.encode()).hexdigest()
            if path.name not in applied:
                await connection.execute(text, timeout=600)
                insert = f'INSERT INTO "{schema}".migrations (name, sha256) VALUES ($1, $2)'  # noqa: S608 - ours
                await connection.execute(insert, path.name, digest)
                new.append(path.name)
            elif applied[path.name] != digest:
                raise RuntimeError(
                    f"{path.name} was applied to this database with another text: migrations never change"
                )
    return new


def _numbered(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _NUMBERED.match(path.name))
