"""`python -m benchmarks.sessions [--quick]`: what a durable append, a read and a list cost, beside the plain driver.

Both sides sync every commit. The references do one INSERT per transaction; ours also locks the session, gives the
message its number and keeps the counters. Rounds alternate, figures are medians.
"""

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import structlog

from bureau_contracts.sessions import NewInvocation, NewMessage, NewSession, NewTurn, Role, SessionStatus
from deploy.local.postgres import EmbeddedPostgres
from kit.clock import SystemClock
from kit.identity import TENANT_WIDE, Principal
from services.sessions import sqlite_file
from services.sessions.record import Listing
from services.sessions.service import SessionsService
from services.sessions.store import SessionStore
from services.sessions.store_postgres import PostgresSessionStore
from services.sessions.store_sqlite import SqliteSessionStore

ANNA = Principal("acme", "anna", scopes=frozenset({TENANT_WIDE}))
TEXT = "What is the status of the ticket that I opened on Monday? " * 4
MESSAGE = NewMessage(role=Role.USER, content=TEXT)
TABLE = "CREATE TABLE plain (session TEXT, seq INTEGER, content TEXT, PRIMARY KEY (session, seq))"
ASKED = NewInvocation(agent_name="orders", query="And where is it now?")
LONG_AGO, FAR_AHEAD = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
LISTINGS = {
    "": Listing(),
    ", by status": Listing(status=SessionStatus.IDLE),
    ", by agent": Listing(agent="orders"),
    ", by time": Listing(since=LONG_AGO, until=FAR_AHEAD),
    ", by agent and time": Listing(agent="orders", since=LONG_AGO, until=FAR_AHEAD),
}

Append = Callable[[int], Awaitable[object]]
"""Appends to the session of the caller with this number."""


async def rate(append: Append, callers: int, seconds: float) -> float:
    """Appends per second of so many callers, each waiting for its answer."""
    end = time.perf_counter() + seconds
    done = 0

    async def call(caller: int) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await append(caller)
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(call(caller) for caller in range(callers)))
    return done / (time.perf_counter() - began)


async def compare(title: str, ours: Append, reference: Append, callers: int, rounds: int, seconds: float) -> None:
    measured: dict[str, list[float]] = {"ours": [], "reference": []}
    for _ in range(rounds):
        measured["ours"].append(await rate(ours, callers, seconds))
        measured["reference"].append(await rate(reference, callers, seconds))
    own, plain = (statistics.median(values) for values in measured.values())
    print(f"{title:<44} {own:>9,.0f}/s   reference {plain:>9,.0f}/s   ratio {own / plain:5.2f}")


async def appender(store: SessionStore) -> Append:
    sessions = SessionsService(store, SystemClock())
    for caller in range(32):
        await sessions.create(ANNA, NewSession(session_id=f"sess-{caller}"))
    return lambda caller: sessions.add_message(ANNA, f"sess-{caller}", MESSAGE)


async def sqlite(folder: Path, rounds: int, seconds: float) -> None:
    store = SqliteSessionStore(folder / "sessions.db")
    await store.open()
    plain = sqlite_file.connect(folder / "plain.db")
    plain.execute(TABLE)
    numbers = iter(range(10**9))

    async def insert(caller: int) -> None:
        plain.execute("BEGIN IMMEDIATE")
        plain.execute("INSERT INTO plain VALUES (?, ?, ?)", (f"sess-{caller}", next(numbers), TEXT))
        plain.execute("COMMIT")

    ours = await appender(store)
    for callers in (1, 32):
        await compare(f"append, SQLite, {callers} callers", ours, insert, callers, rounds, seconds)
    plain.close()
    await store.close()


async def postgres(folder: Path, rounds: int, seconds: float) -> None:
    with EmbeddedPostgres(folder) as server:
        store = PostgresSessionStore(server.url)
        await store.open()
        pool = await asyncpg.create_pool(server.url, min_size=10, max_size=10)
        await pool.execute(TABLE)
        numbers = iter(range(10**9))
        ours = await appender(store)

        async def insert(caller: int) -> None:
            await pool.execute("INSERT INTO plain VALUES ($1, $2, $3)", f"sess-{caller}", next(numbers), TEXT)

        for callers in (1, 32):
            await compare(f"append, Postgres, {callers} callers", ours, insert, callers, rounds, seconds)
        await pool.close()
        await store.close()


async def large_and_small(folder: Path, large: int) -> None:
    """Reading the end of a long session and a page of many, against the same with 100."""
    store = SqliteSessionStore(folder / "large.db")
    await store.open()
    sessions = SessionsService(store, SystemClock())
    few, many = Principal("few", "anna"), Principal("many", "anna")
    for principal, count in ((few, 100), (many, large)):
        await sessions.create(principal, NewSession(session_id="sess-long"))
        for begin in range(0, count, 1000):
            turn = NewTurn(turn_id=f"turn-{begin}", messages=[MESSAGE] * min(1000, count))
            await sessions.store_turn(principal, "sess-long", turn)
            ids = [f"sess-{begin + number}" for number in range(min(1000, count))]
            await asyncio.gather(*(sessions.create(principal, NewSession(session_id=each)) for each in ids))
            await asyncio.gather(*(sessions.track(principal, each, ASKED) for each in ids))

    async def compare_sizes(title: str, call: Callable[[Principal], Awaitable[object]]) -> None:
        small, big = await median_ms(call, few), await median_ms(call, many)
        print(f"{title:<44} {big:8.2f} ms    of 100    {small:8.2f} ms    ratio {big / small:5.2f}")

    await compare_sizes(f"read the last 50 of {large:,}", lambda anna: sessions.view(anna, "sess-long", 50))
    for which, listing in LISTINGS.items():

        async def page(anna: Principal, listing: Listing = listing) -> object:
            return await sessions.page(anna, user_id=None, listing=listing, limit=50, cursor=None)

        await compare_sizes(f"list 50 of {large:,}{which}", page)
    await store.close()


async def median_ms(call: Callable[[Principal], Awaitable[object]], principal: Principal) -> float:
    times = []
    for _ in range(300):
        began = time.perf_counter()
        await call(principal)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sessions", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter rounds and smaller sets")
    quick = parser.parse_args().quick
    rounds, seconds = (2, 0.5) if quick else (5, 2.0)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    print(f"SQLite {sqlite3.sqlite_version}: WAL, synchronous=FULL. Postgres: fsync and synchronous_commit on")
    with tempfile.TemporaryDirectory(prefix="bureau-bench-") as folder:
        asyncio.run(sqlite(Path(folder), rounds, seconds))
        asyncio.run(postgres(Path(folder), rounds, seconds))
        asyncio.run(large_and_small(Path(folder), 10_000 if quick else 100_000))


if __name__ == "__main__":
    main()
