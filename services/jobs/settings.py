"""What can be set of the jobs service. API and workers share one class: both must agree on the bounds."""

import re
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from bureau_contracts.jobs import DEFAULT_QUEUE
from kit.settings import RedisUrl, ServerSettings
from services.jobs.allowed import Allowed, addresses
from services.jobs.limits import parse_limits
from services.jobs.rules import Rules
from services.jobs.store import Bounds

_QUEUE = re.compile("[a-z0-9_-]{1,64}")


class Settings(ServerSettings):
    prefix = "JOBS_"

    port: int = 8006
    """The port of the API; workers have none."""
    redis_url: RedisUrl = "redis://127.0.0.1:6379/0"
    """Redis 7 or Valkey, with the append-only file on and `maxmemory-policy noeviction`. Behind Sentinels:
    ``redis+sentinel://host:port,host:port/primary/0``. A cluster: ``redis+cluster://host:port,host:port``."""
    runtime_url: str = "http://127.0.0.1:8007"
    """Where `agent` steps are run."""
    sessions_url: str = "http://127.0.0.1:8004"
    """Where a job's own session is opened."""

    lease_seconds: float = Field(5.0, ge=0.2, le=3600)
    """A worker that was not heard of for so long loses its jobs to others; it is heard of four times as often."""
    max_losses: int = Field(5, ge=1, le=1000)
    """A job whose worker died so often within one step fails: it may be what kills them."""
    retention_days: float = Field(30, gt=0, le=36_500)
    """How long an ended job is kept, with its events and its idempotency key."""
    events_kept: int = Field(1000, ge=10, le=100_000)
    """Events of one job, the newest."""

    queues: str = DEFAULT_QUEUE
    """Names of all queues, separated by commas. A job for another one is refused."""
    worker_queues: str = "*"
    """The queues that a worker serves, separated by commas; ``*`` is all."""
    limits: str = "queue:* depth=100000"
    """How much may wait, run and begin, by queue, kind and tenant: ``queue:mail concurrency=5 rate=10/60 depth=100;
    kind:import concurrency=2; tenant:* concurrency=20``. Set it alike everywhere."""

    max_memory_part: float = Field(0.85, gt=0, le=1)
    """Of Redis' `maxmemory`: above it no job is started, so that those under way can end."""
    schedules_per_tenant: int = Field(1000, ge=0, le=1_000_000)
    """Schedules that a tenant may have; 0 allows none."""

    concurrency: int = Field(4, ge=1, le=1000)
    """Jobs that a worker runs at once."""
    function_modules: str = ""
    """Modules, separated by commas, whose registered functions `function` steps may run. Only workers import them.
    Whoever starts such a step needs the scope ``function:<name>``."""
    memory_url: str = "http://127.0.0.1:8005"
    """Where the memory service is, for the function `memory.extract` (module services.jobs.functions_memory)."""
    http_allowed: str = ""
    """Beginnings of addresses, separated by commas, that `http` steps may call: ``https://api.example.com/v1``. Empty:
    none."""
    webhook_secret: SecretStr = SecretStr("")
    """What webhooks are signed with, a key for each tenant made of it. Empty: there are none."""
    retry_first_seconds: float = Field(1.0, gt=0, le=3600)
    """Pause before the second attempt; it doubles with each further one, and half of it is random."""
    retry_longest_seconds: float = Field(60.0, gt=0, le=86_400)
    """Pauses between attempts do not grow beyond this."""
    max_result_bytes: int = Field(256 * 1024, ge=1024)
    """A step's result that is longer fails the step."""
    shutdown_seconds: float = Field(5.0, ge=0, le=3600)
    """How long a worker that was told to stop lets running steps finish before it hands them over."""

    @field_validator("queues", "worker_queues")
    @classmethod
    def _names(cls, written: str) -> str:
        wrong = [name for name in names(written) if not _QUEUE.fullmatch(name) and name != "*"]
        if wrong or not names(written):
            raise ValueError(f"{', '.join(wrong) or 'nothing'} is no queue: a-z, 0-9, - and _, at most 64")
        return written

    @field_validator("limits")
    @classmethod
    def _limits(cls, written: str) -> str:
        parse_limits(written)
        return written

    @model_validator(mode="after")
    def _served(self) -> Self:
        unknown = set(names(self.worker_queues)) - set(names(self.queues)) - {"*"}
        if unknown:
            raise ValueError(f"worker_queues: {', '.join(sorted(unknown))} is not in queues")
        return self

    @field_validator("http_allowed")
    @classmethod
    def _addresses(cls, written: str) -> str:
        Allowed(addresses(written))
        return written

    @property
    def served(self) -> list[str]:
        """The queues of a worker."""
        served = names(self.worker_queues)
        return names(self.queues) if "*" in served else served

    @property
    def rules(self) -> Rules:
        return Rules(
            allowed=Allowed(addresses(self.http_allowed)),
            retry_first_seconds=self.retry_first_seconds,
            retry_longest_seconds=self.retry_longest_seconds,
            queues=self.bounds.queues,
            limits=self.bounds.limits,
            max_result_bytes=self.max_result_bytes,
            webhooks=bool(self.webhook_secret.get_secret_value()),
        )

    @property
    def bounds(self) -> Bounds:
        return Bounds(
            lease_seconds=self.lease_seconds,
            max_losses=self.max_losses,
            retention_seconds=self.retention_days * 86_400,
            events_kept=self.events_kept,
            max_result_bytes=self.max_result_bytes,
            queues=tuple(names(self.queues)),
            limits=parse_limits(self.limits),
        )


def names(written: str) -> list[str]:
    """Of a setting that separates them by commas."""
    return list(dict.fromkeys(name.strip() for name in written.split(",") if name.strip()))
