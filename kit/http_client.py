"""Calls to other services: pooled, timed out, on behalf of the current principal, within the current trace."""

from collections.abc import AsyncGenerator

import httpx
from httpx_aiohttp import HttpxAiohttpClient

from kit.identity import PRINCIPAL_HEADER, PrincipalSigner, current_principal
from kit.telemetry import outgoing_headers

CONNECT_SECONDS = 2.0


class _OnBehalf(httpx.Auth):
    def __init__(self, signer: PrincipalSigner, audience: str) -> None:
        self._signer, self._audience = signer, audience

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        request.headers[PRINCIPAL_HEADER] = self._signer.sign(current_principal(), self._audience)
        request.headers.update(outgoing_headers())
        yield request


def service_http(
    base_url: str, *, audience: str, signer: PrincipalSigner, timeout_seconds: float = 10, connections: int = 100
) -> httpx.AsyncClient:
    """A client of one other service. Every request is signed for `audience`; without a principal it is not sent.

    httpx's own pool costs more the more calls are under way, so aiohttp carries the bytes (docs/adr/0006).
    """
    return HttpxAiohttpClient(
        base_url=base_url,
        auth=_OnBehalf(signer, audience),
        timeout=httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        trust_env=False,
        follow_redirects=False,
    )
