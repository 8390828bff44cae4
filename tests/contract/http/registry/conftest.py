"""A registry in process, on a store in memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from kit.settings import CommonSettings
from services.registry.app import create_app
from services.registry.settings import Settings
from services.registry.store import RegistryStore
from services.registry.store_memory import MemoryStore
from tests.contract.http.registry.world import ACME, PRIVATE, PUBLIC, As
from tests.fakes import FixedClock
from tests.http import service_client


def registry_app(store: RegistryStore) -> FastAPI:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[RegistryStore]:
        yield store

    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC))
    return create_app(settings, open_store=open_store, clock=FixedClock())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def app(store: MemoryStore) -> AsyncIterator[FastAPI]:
    app = registry_app(store)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
def client_of(app: FastAPI) -> As:
    return lambda principal: service_client(app, principal, "registry", PRIVATE)


@pytest.fixture
def client(client_of: As) -> httpx.AsyncClient:
    return client_of(ACME)


OpenRegistry = Callable[[], AbstractAsyncContextManager[As]]


@pytest.fixture
def open_registry() -> OpenRegistry:
    """Another registry, empty."""

    @asynccontextmanager
    async def open_one() -> AsyncIterator[As]:
        app = registry_app(MemoryStore())
        async with app.router.lifespan_context(app):
            yield lambda principal: service_client(app, principal, "registry", PRIVATE)

    return open_one
