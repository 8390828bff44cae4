"""What a server depends on, asked when `/health` is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from bureau_contracts.health import DependencyHealth, Health, HealthStatus
from kit.logs import get_logger

log = get_logger(__name__)

CHECK_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Check:
    """One dependency. `ask` returns a detail ("" when there is nothing to say) and raises when it is away."""

    ask: Callable[[], Awaitable[str]]
    required: bool = True
    """A required dependency that is away makes the service unavailable, any other degraded."""


class Degraded(Exception):
    """Raised by a check whose dependency answers, but not as it should; the message says what to do."""


async def health_of(service: str, version: str, checks: Mapping[str, Check], capabilities: Mapping[str, str]) -> Health:
    """Asks all dependencies together, each with a time-out."""
    answers = await asyncio.gather(*(_ask(check) for check in checks.values()))
    status = HealthStatus.OK
    for check, answer in zip(checks.values(), answers, strict=True):
        if answer.status is HealthStatus.UNAVAILABLE and check.required:
            status = HealthStatus.UNAVAILABLE
        elif answer.status is not HealthStatus.OK and status is HealthStatus.OK:
            status = HealthStatus.DEGRADED
    return Health(
        service=service,
        status=status,
        version=version,
        dependencies=dict(zip(checks, answers, strict=True)),
        capabilities=dict(capabilities),
    )


async def _ask(check: Check) -> DependencyHealth:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            detail, status = await check.ask(), HealthStatus.OK
    except Degraded as problem:
        detail, status = str(problem), HealthStatus.DEGRADED
    except TimeoutError:
        detail, status = f"no answer within {CHECK_TIMEOUT_SECONDS:g} s", HealthStatus.UNAVAILABLE
    except Exception as error:  # noqa: BLE001 - any failure of a dependency is an answer here
        detail, status = type(error).__name__, HealthStatus.UNAVAILABLE
        log.warning("dependency_away", error=repr(error))
    return DependencyHealth(status=status, detail=detail, latency_ms=round((time.perf_counter() - began) * 1000, 2))
