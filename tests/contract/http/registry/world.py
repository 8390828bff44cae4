"""A registry under test, and who calls it."""

from collections.abc import Callable
from typing import Any

import httpx

from kit.identity import ADMIN, Principal, generate_keypair

PRIVATE, PUBLIC = generate_keypair()
ACME = Principal("acme", "ann", scopes=frozenset({"registry:write"}))
READER = Principal("acme", "ben")
GLOBEX = Principal("globex", "gil", scopes=frozenset({ADMIN}))

As = Callable[[Principal | None], httpx.AsyncClient]


def agent(**fields: Any) -> dict[str, Any]:
    return {"name": "tickets", "http": "http://tickets/turn", "description": "Looks after tickets."} | fields


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    assert response.json()["trace_id"] == response.headers["x-trace-id"]
