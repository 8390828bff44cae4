"""The gateway's settings: where it listens, where the services are, what it lets through."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from kit.settings import ServerSettings, SettingsError


def _base_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("a URL that begins with http:// or https:// is needed")
    return url.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_base_url)]


class Settings(ServerSettings):
    prefix = "GATEWAY_"
    port: int = 8080

    registry_url: BaseUrl = "http://127.0.0.1:8003"
    """Where the registry is reached; the paths below it are the same as here."""
    sessions_url: BaseUrl = "http://127.0.0.1:8004"
    """Where the sessions service is reached."""
    memory_url: BaseUrl = "http://127.0.0.1:8005"
    """Where the memory service is reached."""
    jobs_url: BaseUrl = "http://127.0.0.1:8006"
    """Where the jobs service is reached."""
    runtime_url: BaseUrl = "http://127.0.0.1:8007"
    """Where the runtime is reached."""
    evaluation_url: BaseUrl = "http://127.0.0.1:8008"
    """Where the evaluation service is reached."""

    max_body_bytes: int = Field(16 * 1024 * 1024, ge=1024)
    """The largest request body, and the largest WebSocket message, that is passed on. Answers have no limit."""
    connect_seconds: float = Field(2.0, gt=0)
    """How long a service may take to accept a connection before the caller gets a 504."""
    answer_seconds: float = Field(120.0, gt=0)
    """How long a service may take to begin its answer once it has the request: a turn of an agent takes its time."""
    body_seconds: float = Field(30.0, gt=0)
    """How long a client may pause within its body before it gets a 408."""
    connections_per_service: int = Field(1000, ge=1)
    """At most so many requests and streams are open to one service; the next waits `connect_seconds` for its turn."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        settings = super().from_environment(environment)
        if not settings.common.identity_private_key.get_secret_value():
            raise SettingsError("BUREAU_IDENTITY_PRIVATE_KEY (or …_FILE) is needed: the gateway signs who is calling")
        return settings

    def service_urls(self) -> dict[str, str]:
        """By service: every field called `<service>_url`."""
        fields = type(self).model_fields
        return {name.removesuffix("_url"): getattr(self, name) for name in fields if name.endswith("_url")}
