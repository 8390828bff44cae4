"""Clients of an application under test, in process: no socket is opened."""

import httpx
from fastapi import FastAPI

from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalSigner


def service_client(app: FastAPI, principal: Principal | None, audience: str, private_key: str) -> httpx.AsyncClient:
    """Calls `app` as `principal`, as the gateway does; as nobody when it is None."""
    signer = PrincipalSigner(private_key, "tests")

    async def sign(request: httpx.Request) -> None:
        # Each request anew, as a token is valid for a minute and a busy test longer; never over one that a test made.
        if principal is not None and PRINCIPAL_HEADER not in request.headers:
            request.headers[PRINCIPAL_HEADER] = signer.sign(principal, audience)

    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://service", event_hooks={"request": [sign]})
