"""What only a gateway refuses or reports. Everything else comes from kit.errors.

Refusal
├── MethodNotAllowed   405   a page of the gateway's own, asked with another method than GET
├── RequestTooSlow     408   the client paused too long within its body
├── HeadersTooLarge    431   request line and headers over the limit
├── UpstreamBroken     502   a service answered with what is not HTTP, or hung up before it answered
├── UpstreamAway       503   a service does not accept connections
├── UpstreamSilent     504   a service did not answer in time
└── OldHttp            505   an answer without a length cannot be sent over HTTP/1.0
"""

from http import HTTPStatus

from kit.errors import Refusal, TimedOut, Unavailable

RETRY_SECONDS = 1.0
"""A service that the launcher or Kubernetes starts again is back within seconds."""


class MethodNotAllowed(Refusal):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "method_not_allowed"


class RequestTooSlow(Refusal):
    status = HTTPStatus.REQUEST_TIMEOUT
    code = "request_too_slow"


class HeadersTooLarge(Refusal):
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    code = "headers_too_large"


class UpstreamBroken(Refusal):
    status = HTTPStatus.BAD_GATEWAY
    code = "upstream_broken"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after=RETRY_SECONDS)


class UpstreamAway(Unavailable):
    code = "upstream_away"


class UpstreamSilent(TimedOut):
    code = "upstream_silent"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after=RETRY_SECONDS)


class OldHttp(Refusal):
    status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    code = "http_version_not_supported"
