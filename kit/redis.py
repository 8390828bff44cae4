"""A redis connection that fails fast: time-outs are short and retries belong to the caller."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connect(url: str, *, timeout_seconds: float | None = 2.0, connections: int = 50) -> "Redis":
    """Opens nothing yet. `timeout_seconds` None is for a connection that blocks on purpose (XREADGROUP, SUBSCRIBE)."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=2.0,
        retry=Retry(NoBackoff(), 0),
        max_connections=connections,
        health_check_interval=0,
    )
