"""Clients of an application under test, in process: no socket is opened."""

import httpx
from fastapi import FastAPI

from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalSigner


def service_client(app: FastAPI, principal: Principal | None, audience: str, private_key: str) -> httpx.AsyncClient:
    """Calls `app` as `principal`, with a token that is valid for a minute; as nobody when it is None."""
    headers = {}
    if principal is not None:
        headers[PRINCIPAL_HEADER] = PrincipalSigner(private_key, "tests").sign(principal, audience)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service", headers=headers)
