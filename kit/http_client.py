"""Calls to other services: pooled, timed out, on behalf of the current principal, within the current trace."""

from collections.abc import AsyncGenerator
from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from kit.certificates import trusted
from kit.identity import PRINCIPAL_HEADER, PrincipalSigner, current_principal
from kit.telemetry import outgoing_headers

CONNECT_SECONDS = 2.0
_NOTHING_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


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
    return httpx.AsyncClient(
        base_url=base_url,
        auth=_OnBehalf(signer, audience),
        timeout=httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
        transport=_Transport(verify=trusted(), trust_env=False, limits=_limits(connections)),
        trust_env=False,
        follow_redirects=False,
        cookies=no_cookies(),
    )


def outside_http(*, timeout_seconds: float, connect_seconds: float, connections: int = 100) -> httpx.AsyncClient:
    """A client of what is not ours: carries no identity and no trace, and follows nobody elsewhere."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(timeout_seconds, connect=connect_seconds),
        transport=_Transport(verify=trusted(), trust_env=False, limits=_limits(connections)),
        trust_env=False,
        follow_redirects=False,
        cookies=no_cookies(),
    )


class _Transport(AiohttpTransport):
    """httpx-aiohttp 0.2 lets some of aiohttp's errors through as they are (an answer that is no HTTP, for one), and
    calls a connection that was cut after the request one that was never made: what must not be done twice would be.
    Beside httpx, aiohttp keeps cookies too."""

    def get_client(self) -> aiohttp.ClientSession:
        session = super().get_client()
        connector = session.connector
        session.detach()
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except httpx.ConnectTimeout as error:
            if isinstance(error.__cause__, _NOTHING_SENT):
                raise
            raise httpx.ReadError(str(error), request=request) from error
        except aiohttp.ClientError as error:
            raise httpx.RemoteProtocolError(type(error).__name__, request=request) from error


def no_cookies() -> CookieJar:
    """A client serves everybody: what one's request was given must not go out with another's."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def _limits(connections: int) -> httpx.Limits:
    return httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
