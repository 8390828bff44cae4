"""What `/health` answers: a service's own state and that of what it depends on."""

from enum import StrEnum

from bureau_contracts.shapes import Answer


class HealthStatus(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    """Answers, but something optional is missing or was repaired; ``detail`` says what."""
    UNAVAILABLE = "unavailable"
    """Does not answer what it is for. `/health` itself then answers 503."""


class DependencyHealth(Answer):
    status: HealthStatus
    detail: str = ""
    latency_ms: float | None = None


class Health(Answer):
    """`/health` of one service."""

    service: str
    status: HealthStatus
    version: str
    dependencies: dict[str, DependencyHealth] = {}
    capabilities: dict[str, str] = {}
    """What this process can do here and what not, e.g. ``{"models": "offline, openai"}``."""


class SystemHealth(Answer):
    """`/health` of the gateway: every service at a glance."""

    status: HealthStatus
    services: dict[str, Health]
