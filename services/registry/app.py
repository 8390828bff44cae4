"""The registry's composition root."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from kit.clock import Clock, SystemClock
from kit.health import Check
from kit.web import build_app
from services.registry import api
from services.registry.json_file import JsonFile
from services.registry.service import Registry
from services.registry.settings import Settings
from services.registry.shortlist import Shortlist
from services.registry.store import RegistryStore
from services.registry.store_json import open_json_store

OpenStore = Callable[[], AbstractAsyncContextManager[RegistryStore]]


def create_app(settings: Settings, *, open_store: OpenStore | None = None, clock: Clock | None = None) -> FastAPI:
    """`open_store` and `clock` let tests hand in fakes."""
    clock = clock or SystemClock()
    open_store = open_store or (lambda: open_json_store(JsonFile(settings.file), clock))

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with open_store() as store:
            app.state.store = store
            app.state.registry = Registry(store, Shortlist(settings.search_threshold), clock)
            yield

    async def check_file() -> str:
        store: RegistryStore = app.state.store
        return await store.check()

    app = build_app(
        service="registry",
        settings=settings,
        routers=[api.routes],
        lifespan=life,
        checks={"file": Check(check_file)},
    )
    app.state.settings = settings
    return app
