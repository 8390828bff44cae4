"""Whose certificates are believed when we call others over TLS. Only calls out: our own servers speak plain HTTP."""

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """What httpx would make anew for every client: reading all certificates takes 30 ms, in which nobody is served."""
    return httpx.create_ssl_context(trust_env=False)
