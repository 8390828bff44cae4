"""What a call can fail with.

BureauError              something went wrong; carries the problem document when there was an answer
├── Refused              a 4xx: the request cannot be done as it is
│   ├── Unauthenticated  401
│   ├── Forbidden        403
│   ├── NotFound         404
│   ├── Conflict         409, 412
│   ├── Invalid          400, 413, 415, 422
│   └── TooMany          429: come back after `retry_after` seconds
├── Unavailable          503, 502, 504, or no answer at all
│   └── NotReached       nobody accepted a connection: nothing was sent
└── ServerFailed         any other 5xx
"""

import httpx
from pydantic import ValidationError

from bureau_contracts.problems import Problem


class BureauError(Exception):
    """`status` is the HTTP status, 0 when there was no answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.code}: {problem.detail}" if problem.detail else problem.code)
        self.problem = problem

    @property
    def status(self) -> int:
        return self.problem.status

    @property
    def code(self) -> str:
        return self.problem.code

    @property
    def detail(self) -> str:
        return self.problem.detail

    @property
    def trace_id(self) -> str:
        return self.problem.trace_id

    @property
    def retry_after(self) -> float | None:
        return self.problem.retry_after


class Refused(BureauError):
    pass


class Unauthenticated(Refused):
    pass


class Forbidden(Refused):
    pass


class NotFound(Refused):
    pass


class Conflict(Refused):
    pass


class Invalid(Refused):
    pass


class TooMany(Refused):
    pass


class Unavailable(BureauError):
    pass


class NotReached(Unavailable):
    pass


class ServerFailed(BureauError):
    pass


_BY_STATUS: dict[int, type[BureauError]] = {
    400: Invalid, 401: Unauthenticated, 403: Forbidden, 404: NotFound, 409: Conflict, 412: Conflict,
    413: Invalid, 415: Invalid, 422: Invalid, 429: TooMany, 502: Unavailable, 503: Unavailable, 504: Unavailable,
}  # fmt: skip


def error_of(status: int, body: bytes, trace_id: str = "") -> BureauError:
    """The error that an answer of 400 or more means, also when its body is not a problem document."""
    try:
        problem = Problem.model_validate_json(body, extra="ignore")
    except ValidationError:
        title = httpx.codes.get_reason_phrase(status)
        problem = Problem(title=title, status=status, code=f"http_{status}", trace_id=trace_id)
    default = Refused if status < 500 else ServerFailed
    return _BY_STATUS.get(status, default)(problem)


def no_answer(error: httpx.HTTPError) -> Unavailable:
    detail = f"{type(error).__name__}: {error}".rstrip(": ")
    unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    kind = NotReached if unsent else Unavailable
    return kind(Problem(title="No answer", status=0, code="no_answer", detail=detail))
