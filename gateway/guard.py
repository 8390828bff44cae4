"""What a request must look like before anything reads it: one meaning, whoever parses it, and bounded headers.

A proxy that passes on what it reads differently from the server behind it can be talked past (request smuggling, dot
segments around a rule about paths). What is ambiguous is refused here, never repaired. Knows no caller and no route.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import HeadersTooLarge
from kit.errors import BadRequest

MAX_HEAD_BYTES = 32 * 1024
"""Path, query and headers together."""

_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_FORBIDDEN_IN_PATH = re.compile(rb"[\x00-\x20\x7f-\xff\\#?]|%2[fF]|%5[cC]|%[01][0-9a-fA-F]|%7[fF]")
_FORBIDDEN_IN_QUERY = re.compile(rb"[\x00-\x20\x7f-\xff#]")
_HOST = re.compile(rb"^[A-Za-z0-9._~%-]+(:\d{1,5})?$|^\[[0-9A-Fa-f:.%]+\](:\d{1,5})?$")


class Guard:
    """ASGI layer: answers 400 or 431 to requests that are ambiguous or whose head is too large."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            check_headers(scope)
            check_path(scope["raw_path"])
            if _FORBIDDEN_IN_QUERY.search(scope["query_string"]):
                raise BadRequest("the query has characters that must be escaped", code="bad_target")
        await self._app(scope, receive, send)


def check_headers(scope: Scope) -> None:
    """Raises BadRequest for an ambiguous host or framing, HeadersTooLarge over MAX_HEAD_BYTES."""
    size = len(scope["raw_path"]) + len(scope["query_string"])
    hosts, lengths, codings = [], [], []
    for name, value in scope["headers"]:
        size += len(name) + len(value) + 4
        if name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if size > MAX_HEAD_BYTES:
        raise HeadersTooLarge(f"path, query and headers have {size} bytes, at most {MAX_HEAD_BYTES} are read")
    if len(hosts) > 1 or (not hosts and scope["http_version"] != "1.0"):
        raise BadRequest("exactly one Host header is needed", code="bad_host")
    if hosts and not _HOST.match(hosts[0]):
        raise BadRequest("the Host header is not a host and port", code="bad_host")
    if len(lengths) > 1 or (lengths and not lengths[0].isdigit()):
        raise BadRequest("Content-Length must be one number", code="bad_framing")
    if codings and (lengths or len(codings) > 1 or codings[0].lower() != b"chunked"):
        raise BadRequest("a body has either a Content-Length or Transfer-Encoding: chunked", code="bad_framing")


def check_path(raw: bytes) -> None:
    """Raises BadRequest unless the path reads the same before and after unescaping and normalising."""
    if not raw.startswith(b"/") or _FORBIDDEN_IN_PATH.search(raw) or _ESCAPE.search(raw):
        raise BadRequest("the path has a character or an escape that has no place in it", code="bad_target")
    if b"//" in raw:
        raise BadRequest("the path has an empty segment", code="bad_target")
    if b"." in raw or b"%2" in raw:
        segments = raw.replace(b"%2e", b".").replace(b"%2E", b".").split(b"/")
        if b"." in segments or b".." in segments:
            raise BadRequest("the path has a dot segment", code="bad_target")
    if b"%" in raw:
        check_escaped_text(raw)


def check_escaped_text(raw: bytes) -> None:
    """Raises BadRequest when the unescaped path is not UTF-8: services would each read something else."""
    try:
        re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), raw).decode()
    except UnicodeDecodeError as error:
        raise BadRequest("the path is not UTF-8", code="bad_target") from error
