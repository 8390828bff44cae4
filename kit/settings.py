"""Typed settings, read once from the environment. The only module of the kit that sees the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator


class SettingsError(Exception):
    """A setting is unknown, missing or wrong. The message names the variable."""


class Settings(BaseModel):
    """One process's settings: field ``database_url`` of a class with prefix ``SESSIONS_`` is ``SESSIONS_DATABASE_URL``.

    ``SESSIONS_DATABASE_URL_FILE`` names a file that holds the value (a mounted secret) instead. A variable with the
    prefix that no field knows is an error: a typo must not become a default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    prefix: ClassVar[str]
    not_settings: ClassVar[tuple[str, ...]] = ()
    """Variables with the prefix that begin like one of these are somebody else's business."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Raises SettingsError, with every problem in one message."""
        environment = os.environ if environment is None else environment
        values: dict[str, str] = {}
        for variable, value in environment.items():
            if not variable.startswith(cls.prefix) or variable.startswith(cls.not_settings):
                continue
            field = variable.removeprefix(cls.prefix).lower()
            if field in cls.model_fields:
                values[field] = value
            elif field.removesuffix("_file") in cls.model_fields:
                values[field.removesuffix("_file")] = _read(variable, value)
            else:
                raise SettingsError(f"{variable} is not a setting; {cls.prefix}… knows {_known(cls)}")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = "; ".join(f"{cls.prefix}{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors() if e["loc"])
            raise SettingsError(wrong or str(error)) from None


class CommonSettings(Settings):
    """What every server shares. The launcher's and the clients' own variables stand here so that they are known."""

    prefix = "BUREAU_"
    not_settings = ("BUREAU_SECRET_",)  # secrets that records of the registry refer to

    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")
    """debug, info, warning or error."""
    log_format: str = Field("json", pattern="^(json|console)$")
    """json, one object per line; or console, for people."""
    identity_public_keys: str = ""
    """PEM, one or several Ed25519 public keys: whose signature on a principal is believed. Empty: nobody's."""
    identity_private_key: SecretStr = SecretStr("")
    """PEM, Ed25519: signs principals. Only who calls other services has one."""
    keys_file: Path | None = None
    """The file of hashed API keys; None: no API key is accepted here."""
    max_body_bytes: int = Field(8 * 1024 * 1024, ge=1024)
    """The largest request body that a service reads."""
    otlp_endpoint: str = ""
    """Base URL of an OpenTelemetry collector (OTLP over HTTP). Empty: no spans are made."""
    trace_sample_ratio: float = Field(1.0, ge=0, le=1)
    """Share of new traces that are recorded, when an exporter is set. A caller's decision is followed."""

    data: Path | None = None
    """The launcher's data folder; servers do not use it."""
    port: int | None = None
    """The launcher's public port; servers have a port setting of their own."""
    url: str | None = None
    """Where the command line finds the gateway; servers do not use it."""
    api_key: SecretStr | None = None
    """The command line's API key; servers do not use it."""


class ServerSettings(Settings):
    """Where an HTTP server listens. Every service's settings class extends it."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int
    """The port to listen on."""
    common: CommonSettings = Field(default_factory=CommonSettings)

    @field_validator("port")
    @classmethod
    def _a_port_number(cls, port: int) -> int:
        if not 0 <= port <= 65535:
            raise ValueError("a port is a number from 0 to 65535")
        return port

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        own = super().from_environment(environment)
        return own.model_copy(update={"common": CommonSettings.from_environment(environment)})


def _known_redis(url: str) -> str:
    from kit.redis import known_url  # half a second of imports that only who has a Redis needs

    return known_url(url)


def _known_redis_or_none(url: SecretStr) -> SecretStr:
    if written := url.get_secret_value():
        _known_redis(written)
    return url


RedisUrl = Annotated[str, AfterValidator(_known_redis)]
"""One server, Sentinels or a cluster: kit/redis_url.py."""
OptionalRedisUrl = Annotated[SecretStr, AfterValidator(_known_redis_or_none)]
"""The same, or empty."""


def _read(variable: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise SettingsError(f"{variable}={path}: {error.strerror}") from error


def _known(cls: type[Settings]) -> str:
    return ", ".join(sorted(name.upper() for name in cls.model_fields))
