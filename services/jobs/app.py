"""Composition root of the jobs API: the only module of it that chooses adapters."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from kit.health import Check
from kit.redis import connect
from kit.tasks import background, every
from kit.web import build_app
from services.jobs import api, api_schedules
from services.jobs.calls_redis import Calls
from services.jobs.memory_redis import READ_SECONDS, RedisMemory
from services.jobs.news_redis import RedisNews
from services.jobs.redis_condition import warn_of_condition
from services.jobs.schedule_service import ScheduleService
from services.jobs.schedule_store import ScheduleStore
from services.jobs.schedules_redis import RedisSchedules
from services.jobs.service import JobService
from services.jobs.settings import Settings
from services.jobs.store import JobStore
from services.jobs.store_redis import RedisJobStore


def create_app(settings: Settings, store: JobStore | None = None, schedules: ScheduleStore | None = None) -> FastAPI:
    """`store` and `schedules` let tests hand in the in-memory ones."""
    redis = connect(settings.redis_url)
    news = RedisNews(redis)
    memory = RedisMemory(redis, settings.max_memory_part)
    call = Calls(redis, settings.bounds)
    jobs = store or RedisJobStore(call, redis, news, settings.bounds.queues, memory)
    service = JobService(jobs, settings.rules, settings.webhook_secret.get_secret_value())

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.jobs = service
        app.state.schedules = ScheduleService(
            schedules or RedisSchedules(call), settings.rules, settings.schedules_per_tenant
        )
        async with AsyncExitStack() as opened:
            if store is None:
                await opened.enter_async_context(redis)
                await opened.enter_async_context(call.open())
                await opened.enter_async_context(news.listening())
                reading = every(READ_SECONDS, memory.read, name="memory of Redis")
                await opened.enter_async_context(background(reading, warn_of_condition(redis)))
            yield

    return build_app(
        service="jobs",
        settings=settings,
        # The second would take "schedules" for a job's id.
        routers=[api_schedules.routes, api.routes],
        lifespan=life,
        checks={"redis": Check(jobs.ping), "workers": Check(service.check_workers, required=False)},
    )
