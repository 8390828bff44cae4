"""Evaluation's composition root."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from kit.health import Check
from kit.redis import connect
from kit.web import build_app
from services.evaluation import api
from services.evaluation.service import Evaluation
from services.evaluation.settings import Settings
from services.evaluation.store import MetricsStore
from services.evaluation.store_redis import RedisStore

OpenStore = Callable[[], AbstractAsyncContextManager[MetricsStore]]


def create_app(settings: Settings, *, open_store: OpenStore | None = None) -> FastAPI:
    """`open_store` lets tests hand in a fake."""

    @asynccontextmanager
    async def open_redis() -> AsyncIterator[MetricsStore]:
        redis = connect(settings.redis_url)
        try:
            yield RedisStore(redis, settings.max_series)
        finally:
            await redis.aclose()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with (open_store or open_redis)() as store:
            app.state.store = store
            app.state.evaluation = Evaluation(store)
            yield

    async def check_store() -> str:
        store: MetricsStore = app.state.store
        return await store.ping()

    app = build_app(
        service="evaluation",
        settings=settings,
        routers=[api.routes],
        lifespan=life,
        checks={"redis": Check(check_store)},
    )
    return app
