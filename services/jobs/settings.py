"""What can be set of the jobs service. API and workers share one class: both must agree on the bounds."""

from pydantic import Field, field_validator

from kit.settings import ServerSettings
from services.jobs.allowed import Allowed, addresses
from services.jobs.dry_run import Rules
from services.jobs.store import Bounds


class Settings(ServerSettings):
    prefix = "JOBS_"

    port: int = 8006
    """The port of the API; workers have none."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Redis 7 or Valkey, with the append-only file on and `maxmemory-policy noeviction`."""
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

    schedules_per_tenant: int = Field(1000, ge=0, le=1_000_000)
    """Schedules that a tenant may have; 0 allows none."""

    concurrency: int = Field(4, ge=1, le=1000)
    """Jobs that a worker runs at once."""
    function_modules: str = ""
    """Modules, separated by commas, whose registered functions `function` steps may run. Only workers import them."""
    http_allowed: str = ""
    """Beginnings of addresses, separated by commas, that `http` steps may call: ``https://api.example.com/v1``. Empty:
    none."""
    retry_first_seconds: float = Field(1.0, gt=0, le=3600)
    """Pause before the second attempt; it doubles with each further one, and half of it is random."""
    retry_longest_seconds: float = Field(60.0, gt=0, le=86_400)
    """Pauses between attempts do not grow beyond this."""
    max_result_bytes: int = Field(256 * 1024, ge=1024)
    """A step's result that is longer fails the step."""
    shutdown_seconds: float = Field(5.0, ge=0, le=3600)
    """How long a worker that was told to stop lets running steps finish before it hands them over."""

    @field_validator("http_allowed")
    @classmethod
    def _addresses(cls, written: str) -> str:
        Allowed(addresses(written))
        return written

    @property
    def rules(self) -> Rules:
        return Rules(Allowed(addresses(self.http_allowed)), self.retry_first_seconds, self.retry_longest_seconds)

    @property
    def bounds(self) -> Bounds:
        return Bounds(
            lease_seconds=self.lease_seconds,
            max_losses=self.max_losses,
            retention_seconds=self.retention_days * 86_400,
            events_kept=self.events_kept,
        )
