"""An `http` step: one request to an address that whoever runs Bureau allows. Carries no identity of ours."""

import json
from typing import Any

import httpx

from bureau_contracts.steps import OWN_HEADERS, NewStep
from services.jobs.allowed import Allowed
from services.jobs.steps import OutcomeUnknown, StepContext, StepFailed, TryLater

KEPT_HEADERS = ("content-type", "etag", "location", "retry-after")
"""Of the answer, beside its status and body."""
LONGEST_EXCERPT = 500
"""Characters of a refusal's body that stand in the step's error."""


class HttpRunner:
    def __init__(self, client: httpx.AsyncClient, allowed: Allowed, most_bytes: int) -> None:
        self._client, self._allowed, self._most_bytes = client, allowed, most_bytes

    async def run(self, step: NewStep, context: StepContext) -> Any:
        """`{"status", "headers", "body"}` of a 2xx; the body is JSON where it says so, text otherwise."""
        call = step.request
        if call is None:
            raise StepFailed("an http step needs a request")
        if call.url not in self._allowed:
            raise StepFailed(f"{call.url} is not under JOBS_HTTP_ALLOWED")
        named = {name.lower(): value for name, value in call.headers.items() if name.lower() not in OWN_HEADERS}
        headers = {**named, "idempotency-key": context.idempotency_key}
        request = self._client.build_request(
            call.method, call.url, headers=headers, json=call.body, timeout=step.timeout_seconds
        )
        try:
            response = await self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise TryLater(f"cannot be reached ({type(error).__name__})") from error
        except httpx.HTTPError as error:
            raise OutcomeUnknown(f"no whole answer ({type(error).__name__})") from error
        try:
            body = await self._read(response)
        finally:
            await response.aclose()
        return _result(response, body)

    async def _read(self, response: httpx.Response) -> bytes:
        parts, size = list[bytes](), 0
        try:
            async for part in response.aiter_bytes():
                size += len(part)
                if size > self._most_bytes:
                    break
                parts.append(part)
        except httpx.HTTPError as error:
            raise OutcomeUnknown(f"the answer was cut ({type(error).__name__})") from error
        if size > self._most_bytes:
            # It was carried out: trying it again would not make the answer shorter.
            raise StepFailed(f"the answer ({response.status_code}) has more than {self._most_bytes} bytes")
        return b"".join(parts)


def _result(response: httpx.Response, body: bytes) -> dict[str, Any]:
    text = body.decode(errors="replace").replace("\x00", "\ufffd")
    status = response.status_code
    if 200 <= status < 300:
        headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        return {"status": status, "headers": headers, "body": _value(response, text)}
    reason = f"answered {status}: {text[:LONGEST_EXCERPT]}"
    if status in (429, 503):
        raise TryLater(reason, retry_after=_seconds(response.headers.get("retry-after")))
    if status >= 500 or status == 408:
        raise OutcomeUnknown(reason)
    if 300 <= status < 400:
        target = response.headers.get("location", "nowhere")
        raise StepFailed(f"answered {status}, a redirect to {target}, which is not followed")
    raise StepFailed(reason)


def _value(response: httpx.Response, text: str) -> Any:
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        return text
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None  # the date form; the usual pause will do
