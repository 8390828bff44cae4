"""Evaluation's settings."""

from pydantic import Field

from kit.settings import RedisUrl, ServerSettings


class Settings(ServerSettings):
    prefix = "EVALUATION_"

    port: int = Field(8008, ge=0, le=65535)
    redis_url: RedisUrl = "redis://127.0.0.1:6379/0"
    """Where the counters are."""
    max_series: int = Field(2000, ge=1, le=100_000)
    """Metrics of one tenant, counted with every combination of labels. Over it, a new one answers 429."""
