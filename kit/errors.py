"""The error tree, and its one wire shape: an RFC 9457 problem document.

Refusal                     what a caller did cannot be done; carries status and code
├── BadRequest        400   the request is not readable (malformed JSON, wrong encoding)
├── Unauthenticated   401   no identity, or none that holds
├── Forbidden         403   a known identity that may not do this
├── NotFound          404   no such thing within the caller's reach
├── Conflict          409   the thing's state forbids it
├── PreconditionFailed 412  If-Match names another revision
├── TooLarge          413   body over the limit
├── UnsupportedMedia  415   body of a kind that is not read here
├── Invalid           422   readable, but fields are wrong
├── TooMany           429   a limit was reached; says when to come back
├── Unavailable       503   something this needs is away; says when to come back
└── TimedOut          504   something this needs took too long

Services subclass these by what happened (``SessionNotFound(NotFound)``) and give a ``code`` of their own.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar

from bureau_contracts.problems import InvalidField, Problem

PROBLEM_JSON = b"application/problem+json"


class Refusal(Exception):
    """Something a caller asked for that cannot be done. The message says what the caller can do about it."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: str = "internal_error"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        retry_after: float | None = None,
        errors: Sequence[InvalidField] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.retry_after = retry_after
        self.errors = list(errors)


class BadRequest(Refusal):
    status = HTTPStatus.BAD_REQUEST
    code = "bad_request"


class Unauthenticated(Refusal):
    status = HTTPStatus.UNAUTHORIZED
    code = "unauthenticated"


class Forbidden(Refusal):
    status = HTTPStatus.FORBIDDEN
    code = "forbidden"


class NotFound(Refusal):
    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class Conflict(Refusal):
    status = HTTPStatus.CONFLICT
    code = "conflict"


class PreconditionFailed(Refusal):
    status = HTTPStatus.PRECONDITION_FAILED
    code = "precondition_failed"


class TooLarge(Refusal):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "too_large"


class UnsupportedMedia(Refusal):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_media_type"


class Invalid(Refusal):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "invalid"


class TooMany(Refusal):
    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many"


class Unavailable(Refusal):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "unavailable"

    def __init__(self, detail: str = "", *, code: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(detail, code=code, retry_after=retry_after)


class TimedOut(Refusal):
    status = HTTPStatus.GATEWAY_TIMEOUT
    code = "timed_out"


def problem_of(refusal: Refusal, trace_id: str, instance: str | None = None) -> Problem:
    return Problem(
        title=refusal.status.phrase,
        status=refusal.status,
        code=refusal.code,
        detail=refusal.detail,
        trace_id=trace_id,
        instance=instance,
        errors=refusal.errors,
        retry_after=refusal.retry_after,
    )


def problem_message(problem: Problem) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """The problem as an HTTP answer: status, headers (lower-case, ASGI's form) and body."""
    headers = [(b"content-type", PROBLEM_JSON)]
    if problem.retry_after is not None:
        headers.append((b"retry-after", str(max(1, round(problem.retry_after))).encode()))
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    body = problem.model_dump_json(exclude_none=True).encode()
    headers.append((b"content-length", str(len(body)).encode()))
    return problem.status, headers, body
