"""`python -m benchmarks.sessions_cache [--quick]`: the sessions' store with its cache in Redis, against without.

Everything on one machine over loopback, so a round trip costs little and the service, the database and Redis share its
cores: the least favourable place for a cache. Rounds alternate, figures are medians.
"""

import argparse
import asyncio
import itertools
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from benchmarks.sessions import ANNA, MESSAGE, rate
from bureau_contracts.sessions import NewSession, NewTurn
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from kit.clock import SystemClock
from services.sessions.redis_link import RedisLink
from services.sessions.service import SessionsService
from services.sessions.store import SessionStore
from services.sessions.store_cached import CachedSessionStore
from services.sessions.store_postgres import PostgresSessionStore
from services.sessions.store_sqlite import SqliteSessionStore
from services.sessions.tails_redis import RedisTails

SESSIONS, LONG = 32, 1000
Act = Callable[[SessionsService, int], Awaitable[object]]


async def compare(title: str, behind: SessionStore, redis_url: str, rounds: int, seconds: float) -> None:
    await behind.open()
    # Time enough that a busy machine does not turn the cache off.
    tails = RedisTails(RedisLink(redis_url, timeout_seconds=2), ttl_seconds=3600)
    await tails.open()
    plain = SessionsService(behind, SystemClock())
    cached = SessionsService(CachedSessionStore(behind, tails), SystemClock())
    for number in range(SESSIONS):
        await plain.create(ANNA, NewSession(session_id=f"sess-{number}"))
        await plain.store_turn(ANNA, f"sess-{number}", NewTurn(turn_id="turn-1", messages=[MESSAGE] * LONG))

    acts: dict[str, Act] = {
        "last 50 messages": lambda sessions, caller: sessions.view(ANNA, f"sess-{caller}", 50),
        "last 10 messages": lambda sessions, caller: sessions.view(ANNA, f"sess-{caller}", 10),
        "state": lambda sessions, caller: sessions.state(ANNA, f"sess-{caller}"),
        "append": lambda sessions, caller: sessions.add_message(ANNA, f"sess-{caller}", MESSAGE),
        "append, then last 50": _append_and_read,
    }
    for (name, act), callers in itertools.product(acts.items(), (1, SESSIONS)):
        rates: dict[SessionsService, list[float]] = {plain: [], cached: []}
        for _ in range(rounds):
            for sessions, measured in rates.items():
                measured.append(await rate(lambda caller, act=act, to=sessions: act(to, caller), callers, seconds))  # type: ignore[misc]  # mypy does not infer lambdas with defaults
        without, with_cache = (statistics.median(measured) for measured in rates.values())
        row = f"{title:<9} {name:<21} {callers:>2} callers"
        print(
            f"{row}  without {without:>7,.0f}/s  with {with_cache:>7,.0f}/s  ratio {with_cache / without:5.2f}",
            flush=True,
        )
    await tails.close()
    await behind.close()


async def _append_and_read(sessions: SessionsService, caller: int) -> None:
    await sessions.add_message(ANNA, f"sess-{caller}", MESSAGE)
    await sessions.view(ANNA, f"sess-{caller}", 50)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sessions_cache", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter rounds")
    rounds, seconds = (1, 0.3) if parser.parse_args().quick else (3, 1.0)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="bureau-bench-") as name:
        folder = Path(name)
        with EmbeddedValkey(folder, fast=True) as valkey, EmbeddedPostgres(folder) as server:
            sqlite, postgres = SqliteSessionStore(folder / "sessions.db"), PostgresSessionStore(server.url)
            asyncio.run(compare("SQLite", sqlite, valkey.url_of(0), rounds, seconds))
            asyncio.run(compare("Postgres", postgres, valkey.url_of(1), rounds, seconds))


if __name__ == "__main__":
    main()
