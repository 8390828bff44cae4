"""The header `Idempotency-Key`, which every route that writes to a session takes."""

from typing import Annotated

from fastapi import Depends, Header, Request

from bureau_contracts.jobs import IdempotencyKey
from services.sessions.receipts import Once, digest_of


def _once(request: Request, idempotency_key: Annotated[IdempotencyKey | None, Header()] = None) -> Once | None:
    if idempotency_key is None:
        return None
    url, body = request.url, request.scope["state"].get("json")
    return Once(idempotency_key, digest_of(request.method, url.path, url.query, body))


OnceDep = Annotated[Once | None, Depends(_once)]
"""The same key with the same request is done once, and gets the first answer; with another one: 409
`idempotency_key_reused`. A receipt is kept for a day at least; a refusal leaves none."""
