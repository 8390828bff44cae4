"""What every suite may ask for: real stores. They start when the first test asks, once per worker, and end with it."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from tests.workers import Spread

TEMPLATE = "bureau_template"
_numbers = itertools.count(1)


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
        server.execute(f"CREATE DATABASE {TEMPLATE}")
        server.execute("CREATE EXTENSION vector", database=TEMPLATE)
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: EmbeddedPostgres) -> str:
    """A database that the whole run shares."""
    return postgres_server.url


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres) -> str:
    """An empty database with pgvector, this test's own. The one before it is dropped on the way: one psql for both."""
    number = next(_numbers)
    postgres_server.execute(
        f"DROP DATABASE IF EXISTS test_{number - 1} WITH (FORCE)",
        f"CREATE DATABASE test_{number} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY",
    )
    return postgres_server.url_of(f"test_{number}")


@pytest.fixture(scope="session")
def valkey_server(stores_folder: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(stores_folder, fast=True) as server:
        yield server


@pytest.fixture
def redis_url(valkey_server: EmbeddedValkey) -> str:
    """An empty Redis, this test's alone while it runs."""
    assert valkey_server.ask("FLUSHALL") == "+OK"
    return valkey_server.url
