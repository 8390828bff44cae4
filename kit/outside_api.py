"""Calls to an API that is not ours: JSON there, bounded bytes back, and one rule for when a call is worth repeating."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

T = TypeVar("T")

ANSWER_BYTES = 8 * 1024 * 1024


class ApiFailed(Exception):
    """The API did not do what was asked of it. The message is for whoever runs Bureau; it holds no secret."""

    def __init__(
        self, what: str, *, words: str = "", retryable: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{what}: {words}" if words else what)
        self.what = what
        """Without the API's own words, which may quote the request: for a log that must not hold what somebody said."""
        self.retryable = retryable
        """Nothing happened that a second call would double, and a second call may go better."""
        self.retry_after = retry_after
        """Seconds the API asks us to wait, when it said."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a call is made, and how long the pauses are."""

    attempts: int = 3
    first_pause_seconds: float = 0.5
    """Doubles with every attempt; up to half of it is taken off at random."""
    longest_pause_seconds: float = 20.0
    """An API that asks for a longer pause has no capacity for this caller."""

    def pause(self, attempt: int, retry_after: float | None) -> float:
        """Seconds after attempt number 1, 2, 3 …"""
        if retry_after is not None:
            return retry_after
        whole = min(self.longest_pause_seconds, self.first_pause_seconds * 2.0 ** min(attempt - 1, 60))
        return whole * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret


async def retried(call: Callable[[], Awaitable[T]], patience: Patience) -> T:
    """What `call` returns, at the latest after `patience.attempts` calls. Raises the last ApiFailed."""
    attempt = 1
    while True:
        try:
            return await call()
        except ApiFailed as error:
            too_long = (error.retry_after or 0) > patience.longest_pause_seconds
            if not error.retryable or attempt >= patience.attempts or too_long:
                raise
            await asyncio.sleep(patience.pause(attempt, error.retry_after))
        attempt += 1


@dataclass(frozen=True, slots=True)
class OutsideApi:
    """One API's address and key. `name` is what its failures call it: "the model's endpoint"."""

    client: httpx.AsyncClient
    name: str
    base_url: str
    """Without a slash at its end."""
    api_key: SecretStr
    timeout_seconds: float
    """Of one whole call, its answer included."""
    answer_bytes: int = ANSWER_BYTES

    async def post(self, path: str, body: dict[str, Any]) -> bytes:
        """The answer's bytes. Raises ApiFailed; retryable after no connection, 408, 429 or a 5xx.

        A call that got no answer in time is not retryable: its caller has waited long enough already.
        """
        try:
            async with asyncio.timeout(self.timeout_seconds):
                status, headers, raw = await self._send(path, body)
        except TimeoutError:
            raise ApiFailed(f"{self.name} did not answer within {self.timeout_seconds:g} s") from None
        except httpx.TransportError as error:
            raise ApiFailed(f"{self.name} cannot be reached ({type(error).__name__})", retryable=True) from error
        if status < 300:
            return raw
        retryable = status in (408, 429) or status >= 500
        raise ApiFailed(
            f"{self.name} answered {status}",
            words=_reason(raw),
            retryable=retryable,
            retry_after=_seconds(headers.get("retry-after")),
        )

    async def _send(self, path: str, body: dict[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        key = self.api_key.get_secret_value()
        headers = {"authorization": f"Bearer {key}"} if key else {}
        url = self.base_url.rstrip("/") + path
        async with self.client.stream(
            "POST", url, json=body, headers=headers, timeout=self.timeout_seconds
        ) as response:
            parts, size = list[bytes](), 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > self.answer_bytes:
                    raise ApiFailed(f"{self.name} answered with more than {self.answer_bytes} bytes")
                parts.append(part)
            return response.status_code, response.headers, b"".join(parts)


def _reason(raw: bytes) -> str:
    """The API's own words, short."""
    try:
        error = json.loads(raw)["error"]
        return str(error["message"] if isinstance(error, dict) else error)[:200]
    except (ValueError, KeyError, TypeError):
        return "no reason given"


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None  # the date form; the usual pause will do
