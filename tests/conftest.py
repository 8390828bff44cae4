"""What every suite may ask for: real stores. They start when the first test asks, once per worker, and end with it."""

import asyncio
import itertools
import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from kit.postgres import migrate, open_pool
from tests.workers import Spread

SERVICES = Path(__file__).resolve().parents[1] / "services"
EMPTY, SESSIONS, MEMORY = "template_empty", "template_sessions", "template_memory"
_numbers = itertools.count(1)


def pytest_configure() -> None:
    """Whoever starts the tests in the background of a shell makes them, and all that they start, deaf to Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread:
    return Spread(config, log)


@pytest.fixture(scope="session")
def quick_folder() -> Path:
    """Where throw-away data goes: memory where there is plenty, since a new database is a thousand small files."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 4 * 1024**3:
        return memory
    return Path(tempfile.gettempdir())


@pytest.fixture(scope="session")
def stores_folder(quick_folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bureau-tests-", dir=quick_folder) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_server(stores_folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(stores_folder, fast=True) as server:
        server.execute(f"CREATE DATABASE {EMPTY}")
        server.execute("CREATE EXTENSION vector", database=EMPTY)
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: EmbeddedPostgres) -> str:
    """A database that the whole run shares."""
    return postgres_server.url


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres) -> str:
    """An empty database with pgvector, this test's own."""
    return _database(postgres_server, EMPTY)


@pytest.fixture(scope="session")
def sessions_template(postgres_server: EmbeddedPostgres) -> str:
    return _migrated(postgres_server, SESSIONS, "sessions", SERVICES / "sessions" / "migrations" / "postgres")


@pytest.fixture
def sessions_database_url(postgres_server: EmbeddedPostgres, sessions_template: str) -> str:
    """A database as the sessions' service leaves it at its first start, this test's own: making all tables takes longer
    than most tests."""
    return _database(postgres_server, sessions_template)


@pytest.fixture(scope="session")
def memory_template(postgres_server: EmbeddedPostgres) -> str:
    return _migrated(postgres_server, MEMORY, "memory", SERVICES / "memory" / "migrations")


@pytest.fixture
def memory_database_url(postgres_server: EmbeddedPostgres, memory_template: str) -> str:
    """The same of the memory's."""
    return _database(postgres_server, memory_template)


def _database(server: EmbeddedPostgres, template: str) -> str:
    """The one before it is dropped on the way: one psql for both."""
    number = next(_numbers)
    server.execute(
        f"DROP DATABASE IF EXISTS test_{number - 1} WITH (FORCE)",
        f"CREATE DATABASE test_{number} TEMPLATE {template} STRATEGY FILE_COPY",
    )
    return server.url_of(f"test_{number}")


def _migrated(server: EmbeddedPostgres, name: str, schema: str, migrations: Path) -> str:
    server.execute(f"CREATE DATABASE {name} TEMPLATE {EMPTY} STRATEGY FILE_COPY")

    async def apply() -> None:
        async with await open_pool(server.url_of(name)) as pool:
            assert await migrate(pool, schema, migrations), f"there is nothing in {migrations}"

    # Whoever asks may stand within a running event loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, apply()).result()
    return name


@pytest.fixture(scope="session")
def valkey_server(stores_folder: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(stores_folder, fast=True) as server:
        yield server


@pytest.fixture
def redis_url(valkey_server: EmbeddedValkey) -> str:
    """An empty Redis, this test's alone while it runs."""
    assert valkey_server.ask("FLUSHALL") == "+OK"
    return valkey_server.url
