"""The runtime's settings, all beginning with ``RUNTIME_``."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from kit.settings import ServerSettings, SettingsError

ServiceUrl = Annotated[str, Field(pattern=r"^https?://\S+$")]
Seconds = Annotated[float, Field(gt=0, le=3600)]


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def environment() -> Mapping[str, str]:
    """The process's variables, for secrets that tools refer to; what they are is looked up when they are used."""
    return os.environ


class Settings(ServerSettings):
    prefix = "RUNTIME_"

    port: int = Field(8007, ge=0, le=65535)

    registry_url: ServiceUrl = "http://127.0.0.1:8003"
    """Where agents are registered. Required: without it no turn can be routed."""
    sessions_url: ServiceUrl = "http://127.0.0.1:8004"
    """Where conversations are kept. Required: nothing runs that could not be recorded."""
    memory_url: ServiceUrl = "http://127.0.0.1:8005"
    """Where memories live. Optional: a turn goes on without them."""
    evaluation_url: ServiceUrl = "http://127.0.0.1:8008"
    """Where turns are counted. Optional: nothing waits for it."""
    service_timeout_seconds: Seconds = 10
    """Of one call to a required service; an optional one has to be faster."""

    model: str = Field("offline", pattern=r"^[a-z]+(:\S+)?$", max_length=200)
    """Answers for agents that name no model: ``offline``, or ``openai:NAME``."""
    openai_base_url: ServiceUrl = "https://api.openai.com/v1"
    """Any endpoint that speaks OpenAI's chat completions."""
    openai_api_key: SecretStr = SecretStr("")
    """Empty: the endpoint is called without one."""
    model_timeout_seconds: Seconds = 60
    """Of one model call, retries not included."""

    factory_prefixes: str = "examples."
    """Comma-separated prefixes of the modules that agents may be built from."""
    history_messages: int = Field(200, ge=0, le=1000)
    """How many of the session's last messages a turn sees at most, as they were; 0: none, and no summary."""
    history_tokens: int = Field(4000, ge=100, le=200_000)
    """How much of what was said before a turn sees; beyond it the sessions summarise the older messages."""
    memories: int = Field(5, ge=0, le=50)
    """How many memories a turn sees at most."""
    max_iterations: int = Field(5, ge=1, le=50)
    """Model calls of one turn; the last one must answer."""
    tool_timeout_seconds: Seconds = 30
    """Of one tool call; whether it took effect is then not known."""
    tool_result_chars: int = Field(20_000, ge=100, le=100_000)
    """A longer result is cut for a model, and says so."""
    call_result_chars: int = Field(200_000, ge=100, le=1_000_000)
    """The same for a tool that is called by itself (`POST /agent/tools/{name}/call`)."""
    agent_timeout_seconds: Seconds = 100
    """For all that an agent does in one turn; the clients wait for 120 seconds."""

    secret_env_prefix: str = Field("BUREAU_SECRET_", pattern=r"^[A-Z][A-Z0-9_]{2,}_$")
    """Registered tools may refer to variables that begin like this (`env:NAME`), and to no others."""
    secret_folder: Path | None = None
    """Registered tools may refer to files below this folder (`file:/PATH`); none: to no files."""
    mcp_commands: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    """Comma-separated absolute paths or names: programs that may be started as MCP servers. Arguments are whatever a
    record says, so never an interpreter, a shell or a package runner unless all who may write records may run code."""
    remote_hosts: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    """Comma-separated: the hosts that registered tools may be called at (`*.example.com` is every name below); none:
    any host."""

    lease_seconds: float = Field(30, ge=1, le=600)
    """How long a session stays locked after its runtime has died in a turn."""
    busy_wait_seconds: float = Field(30, ge=0, le=600)
    """How long a message waits for the turn before it; then 409 session_busy."""
    busy_waiting: int = Field(20, ge=0, le=1000)
    """How many messages may wait for one session; one more is refused at once."""

    @field_validator("secret_env_prefix")
    @classmethod
    def _not_our_own_settings(cls, prefix: str) -> str:
        if prefix.startswith(("BUREAU_", "RUNTIME_")) and not prefix.startswith("BUREAU_SECRET_"):
            raise ValueError("variables with this prefix are Bureau's own, keys among them")
        return prefix

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        settings = super().from_environment(environment)
        if not settings.common.identity_private_key.get_secret_value():
            raise SettingsError("BUREAU_IDENTITY_PRIVATE_KEY is needed: the runtime signs its calls to other services")
        return settings
