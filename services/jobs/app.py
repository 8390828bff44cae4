"""Composition root of the jobs API: the only module of it that chooses adapters."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from kit.health import Check
from kit.redis import connect
from kit.web import build_app
from services.jobs import api
from services.jobs.news_redis import RedisNews
from services.jobs.service import JobService
from services.jobs.settings import Settings
from services.jobs.store import JobStore
from services.jobs.store_redis import RedisJobStore


def create_app(settings: Settings, store: JobStore | None = None) -> FastAPI:
    """`store` lets tests hand in the in-memory one."""
    redis = connect(settings.redis_url)
    news = RedisNews(redis)
    jobs = store or RedisJobStore(redis, news, settings.bounds)
    service = JobService(jobs, settings.rules)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.jobs = service
        async with AsyncExitStack() as opened:
            if store is None:
                await opened.enter_async_context(redis)
                await opened.enter_async_context(news.listening())
            yield

    return build_app(
        service="jobs",
        settings=settings,
        routers=[api.routes],
        lifespan=life,
        checks={"redis": Check(jobs.ping), "workers": Check(service.check_workers, required=False)},
    )
