"""A whole Bureau, started as `make up` starts it, once for the run of this folder."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from bureau import Bureau
from examples.demo.system import System, throw_away_system


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    with throw_away_system() as system:
        system.start()
        yield system


@pytest.fixture(scope="session")
def ada_key(system: System) -> str:
    return system.key("ada")


@pytest.fixture(scope="session")
def grace_key(system: System) -> str:
    return system.key("grace")


@pytest.fixture
async def admin(system: System) -> AsyncIterator[Bureau]:
    async with Bureau(system.url, system.api_key) as bureau:
        yield bureau


@pytest.fixture
async def ada(system: System, ada_key: str) -> AsyncIterator[Bureau]:
    async with Bureau(system.url, ada_key) as bureau:
        yield bureau


@pytest.fixture
async def grace(system: System, grace_key: str) -> AsyncIterator[Bureau]:
    async with Bureau(system.url, grace_key) as bureau:
        yield bureau


@pytest.fixture
async def raw(system: System, ada_key: str) -> AsyncIterator[httpx.AsyncClient]:
    """Ada's requests without our client, as curl sends them."""
    headers = {"authorization": f"Bearer {ada_key}"}
    async with httpx.AsyncClient(base_url=system.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client
