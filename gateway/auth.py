"""Who is calling: the credential of a request becomes a principal. Signing it for a service is the proxy's part.

A credential comes as `Authorization: Bearer …` or `X-API-Key: …`. A browser can set neither on a WebSocket, so there it
may offer the subprotocols `bureau` and `bureau.key.<API key>`; never in the URL, which ends up in logs and histories.
"""

from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from kit.errors import BadRequest, Unauthenticated
from kit.identity import Principal

Authenticate = Callable[[str], Principal]
"""Raises Unauthenticated for a credential that does not hold."""

SUBPROTOCOL = "bureau"
KEY_SUBPROTOCOL = f"{SUBPROTOCOL}.key."


class IdentityLayer:
    """ASGI layer: nobody gets past it without an identity. Leaves the principal in the scope's state."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        self._app, self._authenticate = app, authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = self._authenticate(credential(scope))
        state = scope["state"]
        state["principal"] = principal
        # The tenant, not the person: whoever is erased must not be left in log lines.
        state["log_fields"]["tenant"] = principal.tenant
        await self._app(scope, receive, send)


def credential(scope: Scope) -> str:
    """Raises Unauthenticated when there is none, BadRequest when there are several: one of them would be ignored."""
    found = []
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            found.append(token.strip() if scheme.lower() == "bearer" else "")
        elif name == b"x-api-key":
            found.append(value.decode("latin-1").strip())
    found += [
        name.removeprefix(KEY_SUBPROTOCOL) for name in scope.get("subprotocols", ()) if name.startswith(KEY_SUBPROTOCOL)
    ]
    if len(found) > 1:
        raise BadRequest("the request carries several credentials; send one", code="several_credentials")
    if not found or not found[0]:
        raise Unauthenticated(
            "send an API key as `Authorization: Bearer bk_…` or `X-API-Key: bk_…`", code="api_key_missing"
        )
    return found[0]


def passed_subprotocols(offered: Sequence[str]) -> list[str]:
    """What a service gets to choose from: never a key."""
    return [name for name in offered if name != SUBPROTOCOL and not name.startswith(KEY_SUBPROTOCOL)]


def answered_subprotocol(offered: Sequence[str], chosen: str | None) -> str | None:
    """Browsers close a WebSocket that answers none of the subprotocols they offered."""
    return chosen or (SUBPROTOCOL if SUBPROTOCOL in offered else None)
