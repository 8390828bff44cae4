"""One request to Bureau: what the typed clients of every service are made of."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from bureau.errors import error_of, no_answer

A = TypeVar("A", bound=BaseModel)

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
LONGEST_SILENCE_SECONDS = 60.0
"""Of an event stream. Services say every fifteen seconds that they are there; who does not is gone."""
_REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_WORTH_REPEATING = frozenset({429, 502, 503, 504})


class Caller:
    """Sends requests over an httpx client and reads the answers. This is the one layer that retries.

    A call is repeated when its method may be (GET, PUT, DELETE) or it says so (`repeatable`, for a POST that carries
    an id of its own), and only after no answer at all or a 429, 502, 503 or 504.
    """

    def __init__(self, client: httpx.AsyncClient, *, attempts: int = ATTEMPTS) -> None:
        self._client, self._attempts = client, attempts

    async def call(
        self,
        answer: type[A],
        method: str,
        path: str,
        *,
        body: BaseModel | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        timeout_seconds: float | None = None,
    ) -> A:
        """The parsed answer. Raises a BureauError; parameters that are None are not sent."""
        request = self._client.build_request(
            method,
            path,
            content=None if body is None else body.model_dump_json(exclude_unset=True),
            params={key: value for key, value in (params or {}).items() if value is not None},
            headers={**({"content-type": "application/json"} if body is not None else {}), **(headers or {})},
            timeout=httpx.USE_CLIENT_DEFAULT if timeout_seconds is None else timeout_seconds,
        )
        response = await self._send(request, repeatable or method in _REPEATABLE_METHODS)
        return answer.model_validate_json(response.content, extra="ignore")

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of an event stream, as they come. Raises a BureauError when it cannot be opened or is cut, or says
        nothing for a minute."""
        try:
            timeout = httpx.Timeout(10, read=LONGEST_SILENCE_SECONDS)
            async with self._client.stream("GET", path, params=params, headers=headers, timeout=timeout) as response:
                if response.status_code >= 400:
                    raise error_of(response.status_code, await response.aread(), _trace_id(response))
                yield _lines(response.aiter_bytes())
        except httpx.HTTPError as error:
            raise no_answer(error) from error

    async def _send(self, request: httpx.Request, repeatable: bool) -> httpx.Response:
        attempt = 1
        while True:
            last = attempt == self._attempts or not repeatable
            try:
                response = await self._client.send(request)
            except httpx.HTTPError as error:
                if last:
                    raise no_answer(error) from error
                await asyncio.sleep(pause(attempt))
            else:
                if response.status_code < 400:
                    return response
                failure = error_of(response.status_code, response.content, _trace_id(response))
                if last or response.status_code not in _WORTH_REPEATING:
                    raise failure
                await asyncio.sleep(pause(attempt, failure.retry_after))
            attempt += 1


def segment(text: str) -> str:
    """One path segment, with everything escaped that could leave it."""
    return quote(text, safe="")


def segments(text: str) -> str:
    """Several path segments, where the text itself says so by a slash. None of them means another folder."""
    return "/".join(segment(each) if each.strip(".") else "%2E" * len(each) for each in text.split("/"))


async def _lines(parts: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Split at line feeds alone: the texts within an event may hold other characters that end lines elsewhere."""
    rest = b""
    async for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode(errors="replace")


def pause(attempt: int, retry_after: float | None = None) -> float:
    """Seconds: what the server asks for, or an exponential back-off with full jitter; never more than five."""
    if retry_after is not None:
        return min(retry_after, LONGEST_PAUSE_SECONDS)
    return random.uniform(0, min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(attempt, 10)))  # noqa: S311 - jitter, not a secret


def _trace_id(response: httpx.Response) -> str:
    return str(response.headers.get("x-trace-id", ""))
