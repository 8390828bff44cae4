"""`python -m benchmarks.adk_sessions [--quick]`: ADK's own DatabaseSessionService, and ours, on the same databases.

`adk` is in this process, straight on the database; `bureau` is `BureauSessionService` over HTTP on loopback to a
sessions service in a process of its own; `store` is what that service runs, in this process, without HTTP and without
ADK's types. ADK's engine is as ADK makes it; ours syncs every commit. Calls take turns, figures are medians.
"""

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import structlog
from google.adk.events import Event
from google.adk.sessions import BaseSessionService, DatabaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from bureau import Bureau
from bureau.adapters.adk import BureauSessionService, names
from bureau.adapters.adk.events import to_message
from bureau_contracts.sessions import NewSession, NewTurn
from deploy.local.postgres import EmbeddedPostgres
from kit.clock import SystemClock
from kit.identity import PRINCIPAL_HEADER, TENANT_WIDE, Principal, PrincipalSigner, generate_keypair
from services.sessions.record import Listing
from services.sessions.service import BEYOND_EVERY_SEQ, SessionsService
from services.sessions.store import SessionStore
from services.sessions.store_postgres import PostgresSessionStore
from services.sessions.store_sqlite import SqliteSessionStore

ROOT = Path(__file__).resolve().parents[1]
APP, USER, MANY = "shop", "anna", "ben"
CALLER = Principal("acme", USER, scopes=frozenset({TENANT_WIDE}))
TEXT = "What is the status of the ticket that I opened on Monday? " * 4
RECENT = GetSessionConfig(num_recent_events=50)
Acts = dict[str, Callable[[], Awaitable[object]]]


class Signed(httpx.AsyncHTTPTransport):
    """Says whose a request is, as the gateway would."""

    def __init__(self, signer: PrincipalSigner) -> None:
        super().__init__()
        self._signer = signer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers[PRINCIPAL_HEADER] = self._signer.sign(CALLER, "sessions")
        return await super().handle_async_request(request)


def an_event() -> Event:
    said = types.Content(role="user", parts=[types.Part(text=TEXT)])
    return Event(id=Event.new_id(), author="user", invocation_id="e-1", content=said)


@contextlib.contextmanager
def sessions_service(database_url: str, public_key: str) -> Iterator[str]:
    """Our service in a process of its own; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = {
        "SESSIONS_PORT": str(port),
        "SESSIONS_DATABASE_URL": database_url,
        "SESSIONS_MAX_MESSAGES_PER_MINUTE": "0",
        "SESSIONS_MAX_PER_USER": "0",
        "BUREAU_IDENTITY_PUBLIC_KEYS": public_key,
        "BUREAU_LOG_LEVEL": "error",
    }
    command = [sys.executable, "-m", "kit.serve", "services.sessions"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until_up(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def wait_until_up(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


async def fill_adk(service: DatabaseSessionService, events: int, sessions: int) -> None:
    """Straight into ADK's tables: by `append_event` it would take many minutes."""
    session = await service.create_session(app_name=APP, user_id=USER, session_id=f"s-{events}")
    schema = service._get_schema_classes()
    async with service.database_session_factory() as database:
        database.add_all([schema.StorageEvent.from_event(session, an_event()) for _ in range(events - 1)])
        if sessions:
            database.add_all(
                [schema.StorageSession(app_name=APP, user_id=MANY, id=f"m-{n}", state={}) for n in range(sessions)]
            )
        await database.commit()
    await append(service, f"s-{events}")


async def fill_ours(sessions: SessionsService, events: int, many: int) -> None:
    for chosen in (f"s-{events}", f"t-{events}"):  # the second one is for appends straight to the store
        await sessions.create(CALLER, new_session(USER, chosen))
        for start in range(0, events, 1000):
            said = [to_message(an_event()) for _ in range(min(1000, events - start))]
            turn = NewTurn(turn_id=f"turn-{start}", messages=said)
            await sessions.store_turn(CALLER, names.bureau_id(APP, USER, chosen), turn)
    for start in range(0, many, 500):
        await asyncio.gather(*(sessions.create(CALLER, new_session(MANY, f"m-{start + n}")) for n in range(500)))


def new_session(user: str, chosen: str) -> NewSession:
    return NewSession(
        user_id=user,
        session_id=names.bureau_id(APP, user, chosen),
        title=chosen,
        metadata=names.metadata_of(APP, chosen),
    )


async def append(service: BaseSessionService, session_id: str) -> Session:
    """One event to a session object that is up to date; returns the object."""
    config = GetSessionConfig(num_recent_events=1)
    session = await service.get_session(app_name=APP, user_id=USER, session_id=session_id, config=config)
    assert session is not None
    await service.append_event(session, an_event())
    return session


async def acts_of(service: BaseSessionService, events: int, sessions: int) -> Acts:
    name = f"s-{events}"
    session = await append(service, name)
    found = await service.get_session(app_name=APP, user_id=USER, session_id=name)
    assert found is not None
    assert len(found.events) >= events
    acts: Acts = {
        "get_session, all": lambda: service.get_session(app_name=APP, user_id=USER, session_id=name),
        "get_session, last 50": lambda: service.get_session(app_name=APP, user_id=USER, session_id=name, config=RECENT),
        "append_event": lambda: service.append_event(session, an_event()),
    }
    if sessions:
        listed = await service.list_sessions(app_name=APP, user_id=MANY)
        assert len(listed.sessions) == sessions
        acts[f"list_sessions, {sessions:,}"] = lambda: service.list_sessions(app_name=APP, user_id=MANY)
    return acts


def acts_of_store(store: SessionStore, sessions: SessionsService, events: int, many: int) -> Acts:
    key, reach = names.bureau_id(APP, USER, f"s-{events}"), CALLER.reach(USER)
    other = names.bureau_id(APP, USER, f"t-{events}")
    acts: Acts = {
        "get_session, all": lambda: store.history(
            reach, key, after=0, before=BEYOND_EVERY_SEQ, limit=10**6, newest=False
        ),
        "get_session, last 50": lambda: sessions.view(CALLER, key, 50),
        "append_event": lambda: sessions.add_message(CALLER, other, to_message(an_event())),
    }
    if many:
        acts[f"list_sessions, {many:,}"] = lambda: store.page(CALLER.reach(MANY), Listing(), after=None, limit=many + 1)
    return acts


async def compare(database: str, sides: dict[str, Acts], events: int, times: int) -> None:
    for act in next(iter(sides.values())):
        took: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(times if "append" in act or "50" in act else max(3, min(times, 20_000 // events))):
            for side, acts in sides.items():
                began = time.perf_counter()
                await acts[act]()
                took[side].append((time.perf_counter() - began) * 1000)
        medians = {side: statistics.median(values) for side, values in took.items()}
        figures = "".join(f"{side} {value:9.2f} ms   " for side, value in medians.items())
        ratio = medians["bureau"] / medians["adk"]
        print(f"{database:<9}{events:>7,} events  {act:<22}  {figures}bureau/adk {ratio:5.2f}", flush=True)


@contextlib.asynccontextmanager
async def opened(store: SessionStore) -> AsyncIterator[SessionStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def run(database: str, adk_url: str, our_url: str, store: SessionStore, sizes: list[int], times: int) -> None:
    private_key, public_key = generate_keypair()
    with sessions_service(our_url, public_key) as url:
        transport = Signed(PrincipalSigner(private_key, "benchmark"))
        async with (
            DatabaseSessionService(adk_url) as adk,
            BureauSessionService(Bureau(url, "unused", transport=transport)) as bureau,
            opened(store),
        ):
            sessions = SessionsService(store, SystemClock())
            for events in sizes:
                many = events if events == sizes[-1] else 0
                await fill_adk(adk, events, many)
                await fill_ours(sessions, events, many)
                sides = {
                    "adk": await acts_of(adk, events, many),
                    "bureau": await acts_of(bureau, events, many),
                    "store": acts_of_store(store, sessions, events, many),
                }
                await compare(database, sides, events, times)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adk_sessions", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer events and calls")
    quick = parser.parse_args().quick
    sizes, times = ([10, 1000], 10) if quick else ([10, 1000, 10_000], 50)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="bureau-bench-") as name:
        folder = Path(name)
        adk, ours = folder / "adk.db", folder / "sessions.db"
        store: SessionStore = SqliteSessionStore(ours)
        asyncio.run(run("SQLite", f"sqlite+aiosqlite:///{adk}", f"sqlite:///{ours}", store, sizes, times))
        with EmbeddedPostgres(folder) as server:
            adk_url = server.url.replace("postgresql://", "postgresql+asyncpg://")
            store = PostgresSessionStore(server.url)
            asyncio.run(run("Postgres", adk_url, server.url, store, sizes, times))


if __name__ == "__main__":
    main()
