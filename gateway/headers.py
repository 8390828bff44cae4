"""Which headers pass, in and out. Pure functions over ASGI's header lists (names in lower case).

Hop-by-hop headers end here, those named in `Connection` too (RFC 9110, 7.6.1). Nobody outside can say who is calling:
what claims to is dropped, whatever it says, and set again by us.
"""

import re
from collections.abc import Iterable, Sequence

from starlette.types import Scope

from gateway.errors import UpstreamBroken
from gateway.upstream import Headers
from kit.errors import BadRequest

HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization",
        b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings",
    }
)  # fmt: skip
OWN_PREFIX = b"x-bureau-"
"""Ours alone, both ways."""
_SET_BY_US = frozenset(
    {
        b"authorization", b"x-api-key", b"traceparent", b"tracestate", b"x-trace-id", b"x-request-id",
        b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip",
        b"content-length", b"expect",
    }
)  # fmt: skip
_ANSWERED_BY_US = frozenset({b"x-trace-id", b"x-request-id", b"date", b"server"})
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BODYLESS = frozenset({204, 205, 304})


def request_headers(scope: Scope, ours: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What a service gets: the client's own headers, the forwarding ones, and `ours`. Raises BadRequest."""
    given: Headers = scope["headers"]
    dropped = HOP_BY_HOP | _SET_BY_US | _named_in_connection(given)
    passed = [(k, v) for k, v in given if k not in dropped and not k.startswith((OWN_PREFIX, b"sec-websocket-"))]
    for _, value in passed:
        if not value.isascii():
            _check_utf8(value)
    return [*passed, *_forwarded(scope, given), *ours]


def answer_headers(status: int, given: Headers) -> list[tuple[bytes, bytes]]:
    """What the client gets. Raises UpstreamBroken for what cannot be sent as HTTP."""
    dropped = HOP_BY_HOP | _ANSWERED_BY_US | _named_in_connection(given)
    if status in _BODYLESS:
        dropped |= {b"content-length"}
    passed = [(k, v) for k, v in given if k not in dropped and not k.startswith(OWN_PREFIX)]
    if any(_CONTROL.search(value) for _, value in passed):
        raise UpstreamBroken("the service's answer has a header with control characters")
    return passed


def has_length(status: int, method: str, headers: Headers) -> bool:
    """Whether the client can tell by the headers alone where the answer ends."""
    return method == "HEAD" or status in _BODYLESS or any(name == b"content-length" for name, _ in headers)


def _named_in_connection(headers: Headers) -> frozenset[bytes]:
    named: Sequence[bytes] = [v for k, v in headers if k == b"connection"]
    if not named:
        return frozenset()
    return frozenset(token.strip().lower() for token in b",".join(named).split(b",")) - {b"host", b"content-length"}


def _forwarded(scope: Scope, given: Headers) -> list[tuple[bytes, bytes]]:
    """For whom, and as what, the request came: the chain of addresses goes on, the rest is what we saw ourselves."""
    chain = [part.strip() for k, v in given if k == b"x-forwarded-for" for part in v.split(b",") if part.strip()]
    peer = scope["client"][0].encode() if scope.get("client") else b""
    # The server reads the client's address from a trusted proxy's chain; it is the last link then already.
    if peer and chain[-1:] != [peer]:
        chain.append(peer)
    secure = scope["scheme"] in ("https", "wss")
    forwarded = [(b"x-forwarded-proto", b"https" if secure else b"http")]
    if chain:
        forwarded.append((b"x-forwarded-for", b", ".join(chain)))
    forwarded += [(b"x-forwarded-host", v) for k, v in given if k == b"host"]
    return forwarded


def _check_utf8(value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("a header is not UTF-8", code="bad_header") from error
