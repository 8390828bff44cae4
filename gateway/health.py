"""How all services are, at a glance: each is asked for its own `/health`, together, within two seconds."""

import asyncio
from collections.abc import Iterable

from pydantic import ValidationError

from bureau_contracts.health import DependencyHealth, Health, HealthStatus, SystemHealth
from gateway.fetch import fetch
from gateway.routes import Route
from gateway.upstream import Upstream
from kit.errors import Refusal

ASK_SECONDS = 2.0


async def system_health(routes: Iterable[Route], upstream: Upstream) -> SystemHealth:
    """Unavailable when a required service is; degraded when another one is, or any is degraded."""
    routes = list(routes)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_ask(route.service, upstream)) for route in routes]
    answers = [task.result() for task in asked]
    status = HealthStatus.OK
    for route, answer in zip(routes, answers, strict=True):
        if route.required and answer.status is HealthStatus.UNAVAILABLE:
            status = HealthStatus.UNAVAILABLE
        elif answer.status is not HealthStatus.OK and status is HealthStatus.OK:
            status = HealthStatus.DEGRADED
    return SystemHealth(status=status, services={answer.service: answer for answer in answers})


def all_away(health: SystemHealth) -> bool:
    return all(each.status is HealthStatus.UNAVAILABLE for each in health.services.values())


async def _ask(service: str, upstream: Upstream) -> Health:
    try:
        # A service that is unavailable says so with a 503 and the same document.
        _, body = await fetch(upstream, service, "/health", seconds=ASK_SECONDS)
        return Health.model_validate_json(body).model_copy(update={"service": service})
    except (Refusal, ValidationError) as error:
        detail = error.detail if isinstance(error, Refusal) else "its answer is not a health document"
    away = HealthStatus.UNAVAILABLE
    return Health(
        service=service, status=away, version="", dependencies={"http": DependencyHealth(status=away, detail=detail)}
    )
