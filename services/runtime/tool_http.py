"""Calls the registry's HTTP tools: one request to the address that a record names. Carries no identity of ours."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx

from bureau_contracts.shapes import JsonObject
from bureau_contracts.tools import ToolRecord
from kit.destinations import Destinations, NotAllowed
from kit.http_headers import bad_header
from kit.secrets import SecretMissing, Secrets, without, without_in
from services.runtime.registered import Target
from services.runtime.tool_failures import OutcomeUnknown, ToolFailed, TryLater, of_status

MOST_BYTES = 2 * 1024 * 1024
"""Of an answer; what comes after them is not read."""
EXCERPT_CHARS = 500
"""Of a refusal's body that stand in the error."""
IN_QUERY = ("GET", "DELETE")


class HttpTool:
    """`CallTarget` for sources of the kind `http`."""

    def __init__(self, client: httpx.AsyncClient, secrets: Secrets, destinations: Destinations, seconds: float) -> None:
        self._client, self._secrets, self._destinations, self._seconds = client, secrets, destinations, seconds

    async def __call__(self, target: Target, arguments: JsonObject, idempotency_key: str) -> Any:
        secrets: dict[str, str] = {}
        sent = False
        try:
            async with asyncio.timeout(self._seconds):
                secrets = await self._secrets.resolve(target.record.headers)
                await self._destinations.permit(str(target.record.url))
                request = self._request(target.record, arguments, secrets, idempotency_key)
                sent = True
                status, headers, body, whole = await self._exchange(request)
        except TimeoutError:
            reason = f"no answer within {self._seconds:g} s"
            raise (OutcomeUnknown(reason) if sent else TryLater(reason)) from None
        except (SecretMissing, NotAllowed, httpx.InvalidURL) as reason:
            raise ToolFailed(str(reason)) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, OSError) as error:
            raise TryLater(f"it cannot be reached ({type(error).__name__})") from None
        except httpx.LocalProtocolError:
            raise ToolFailed("its request cannot be sent as it is") from None
        except httpx.HTTPError as error:
            raise OutcomeUnknown(f"no whole answer ({type(error).__name__})") from None
        return _result(status, headers, body, whole, secrets)

    def _request(
        self, record: ToolRecord, arguments: JsonObject, secrets: Mapping[str, str], key: str
    ) -> httpx.Request:
        if wrong := bad_header(secrets):
            raise ToolFailed(wrong)
        # What a caller or the protocol decides comes last; compressed, little on the wire may be much in memory.
        ours = {"idempotency-key": key, "accept-encoding": "identity"}
        headers = {**{name.lower(): value for name, value in secrets.items()}, **ours}
        url = httpx.URL(str(record.url))
        if record.method in IN_QUERY:
            return self._client.build_request(record.method, _with_query(url, arguments), headers=headers)
        return self._client.build_request(record.method, url, headers=headers, json=arguments)

    async def _exchange(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes, bool]:
        """Status, headers, body, and whether that is all of it."""
        response = await self._client.send(request, stream=True)
        try:
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise OutcomeUnknown("it answered compressed, which nobody asked for", hopeless=True)
            parts, size = list[bytes](), 0
            async for part in response.aiter_raw():
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    break
            return response.status_code, response.headers, b"".join(parts)[:MOST_BYTES], size <= MOST_BYTES
        finally:
            await response.aclose()


def _with_query(url: httpx.URL, arguments: JsonObject) -> httpx.URL:
    """Lists repeat their name, objects stand as JSON, null is left out. What the address itself says is not the
    caller's to change."""
    fixed = url.params
    if taken := [name for name in arguments if name in fixed]:
        raise ToolFailed(f"{taken[0]!r} stands in the tool's address already")
    pairs = [
        (name, _in_query(each))
        for name, value in arguments.items()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
    ]
    return url.copy_with(params=[*fixed.multi_items(), *pairs]) if pairs else url


def _in_query(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _result(status: int, headers: httpx.Headers, body: bytes, whole: bool, secrets: Mapping[str, str]) -> Any:
    text = body.decode(errors="replace")
    if 200 <= status < 300:
        value = _value(headers, text) if whole else f"{text}… [cut]"
        return without_in(secrets, value)
    if 300 <= status < 400:
        raise ToolFailed(f"it answers {status}, a redirect, which is not followed")
    said = without(secrets, text)[:EXCERPT_CHARS].strip()
    raise of_status(status, f"it answers {status}{f': {said}' if said else ''}", headers.get("retry-after"))


def _value(headers: httpx.Headers, text: str) -> Any:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        return text
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text
