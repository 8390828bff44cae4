"""The ASGI layers around every service: trace and problem documents, size and JSON of bodies, identity."""

import asyncio
import re
import time
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit import strict_json
from kit.api_keys import PREFIX, ApiKeyAuthenticator
from kit.errors import BadRequest, Refusal, TooLarge, Unauthenticated, UnsupportedMedia, problem_message, problem_of
from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalKind, PrincipalVerifier, acting_as
from kit.logs import get_logger
from kit.telemetry import Telemetry, annotate

log = get_logger(__name__)

LARGE_BODY = 100_000
"""Bytes from which a body is parsed in a thread, lest all other requests wait for it: some 4 ms of work."""
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
_REQUEST_ID = re.compile(r"^[\x21-\x7e]{1,128}$")


def header(scope: Scope, name: bytes) -> str:
    """The first value of a header, "" when it is absent."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


class TraceLayer:
    """Outermost: continues the caller's trace, logs the request, and turns every failure into a problem document.

    Inner layers find `request_id` in the scope's state, and `log_fields`, to which they may add.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app, self._telemetry = app, telemetry
        self._probed: int = HTTPStatus.OK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        name = f"{scope.get('method', 'WS')} {scope['path']}"
        parent, state = header(scope, b"traceparent"), header(scope, b"tracestate")
        with self._telemetry.continue_trace(parent, state, name) as trace:
            given = header(scope, b"x-request-id")
            request_id = given if _REQUEST_ID.match(given) else trace.span_id
            answer = _Answer(send, [(b"x-trace-id", trace.trace_id.encode()), (b"x-request-id", request_id.encode())])
            fields: dict[str, object] = {}
            scope.setdefault("state", {}).update(request_id=request_id, log_fields=fields)
            began = time.perf_counter()
            try:
                await self._app(scope, receive, answer.send)
                await answer.finish()
            except Refusal as refusal:
                await answer.refuse(scope, refusal, trace.trace_id)
            except Exception:
                log.exception("request_failed", method=scope.get("method"), path=scope["path"])
                await answer.refuse(
                    scope, Refusal("an unexpected error; the trace ID finds it in the logs"), trace.trace_id
                )
            finally:
                annotate({"http.response.status_code": answer.status, "url.path": scope["path"]})
                report = log.debug if self._says_nothing_new(scope, answer.status) else log.info
                report(
                    "http_request", method=scope.get("method", "WS"), path=scope["path"], status=answer.status,
                    duration_ms=round((time.perf_counter() - began) * 1000, 2), request_id=request_id, **fields,
                )  # fmt: skip

    def _says_nothing_new(self, scope: Scope, status: int) -> bool:
        """Health is asked for again and again: that it stays as it was is no news."""
        if scope["path"] != "/health":
            return False
        before, self._probed = self._probed, status
        return status == before


class _Answer:
    """Watches an answer go out: adds headers, remembers the status, and can refuse while nothing was sent."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self._send, self._headers = send, headers
        self.status = 0
        self._streams = False
        self._end: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] in _STARTS:
            self.status = message.get("status", HTTPStatus.SWITCHING_PROTOCOLS)
            message["headers"] = [*message.get("headers", ()), *self._headers]
        elif message["type"] == "http.response.body":
            if self._streams and not message.get("more_body"):
                # FastAPI ends a stream of events also when what makes them has failed, and says so only then.
                self._end = message
                return
            self._streams = bool(message.get("more_body"))
        await self._send(message)

    async def finish(self) -> None:
        if self._end is not None:
            await self._send(self._end)

    async def refuse(self, scope: Scope, refusal: Refusal, trace_id: str) -> None:
        if self.status:
            # The answer is under way: cutting the connection is the only honest way to say that it is not whole.
            raise refusal
        status, headers, body = problem_message(problem_of(refusal, trace_id, scope["path"]))
        # A WebSocket's handshake is answered as any request is (ASGI's "denial response").
        kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
        await self.send({"type": f"{kind}.start", "status": status, "headers": headers})
        await self.send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else body})


class IdentityLayer:
    """Lets a request in only with a signed principal for this service, or a service's API key."""

    def __init__(
        self, app: ASGIApp, verifier: PrincipalVerifier, keys: ApiKeyAuthenticator | None, open_paths: frozenset[str]
    ) -> None:
        self._app, self._verifier, self._keys, self._open = app, verifier, keys, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        principal = self._authenticate(scope)
        scope.setdefault("state", {})["principal"] = principal
        with acting_as(principal):
            await self._app(scope, receive, send)

    def _authenticate(self, scope: Scope) -> Principal:
        token = header(scope, PRINCIPAL_HEADER.encode())
        if token:
            return self._verifier.verify(token)
        scheme, _, key = header(scope, b"authorization").partition(" ")
        if self._keys is not None and scheme.lower() == "bearer" and key.startswith(PREFIX):
            principal = self._keys.authenticate(key.strip())
            if principal.kind is PrincipalKind.SERVICE:
                return principal
            raise Unauthenticated("a user's API key is for the gateway; here a service's key is needed")
        raise Unauthenticated("no identity: call through the gateway, or with a service's API key")


class BodyLayer:
    """Reads a body once, within its limit, as strict JSON; `kit.web` hands the value to the route."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await self._read(scope, receive)
        if body:
            _check_media(scope)
            large = len(body) >= LARGE_BODY
            value = await asyncio.to_thread(strict_json.loads, body) if large else strict_json.loads(body)
            scope.setdefault("state", {})["json"] = value
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        declared = header(scope, b"content-length")
        if declared.isdigit() and int(declared[:20]) > self._max:
            raise TooLarge(f"the body has {declared[:20]} bytes, at most {self._max} are read")
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("the client left in the middle of its body", code="body_cut")
            part = message.get("body", b"")
            size += len(part)
            if size > self._max:
                raise TooLarge(f"the body has more than {self._max} bytes")
            parts.append(part)
            more = message.get("more_body", False)
        return b"".join(parts)


def _check_media(scope: Scope) -> None:
    if header(scope, b"content-encoding") not in ("", "identity"):
        raise UnsupportedMedia("send the body without a Content-Encoding")
    media = header(scope, b"content-type").partition(";")[0].strip().lower()
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise UnsupportedMedia("send the body as Content-Type: application/json")
