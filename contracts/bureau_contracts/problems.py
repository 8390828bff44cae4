"""The one shape of every error: an RFC 9457 problem document with a stable code and the trace ID."""

from bureau_contracts.shapes import Answer


class InvalidField(Answer):
    """One reason why a request was refused: where in it (``body.capabilities.0``), and what is wrong."""

    location: str
    message: str


class Problem(Answer):
    """``application/problem+json``. ``code`` never changes its meaning; ``detail`` is for people."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str = ""
    trace_id: str = ""
    instance: str | None = None
    errors: list[InvalidField] = []
    retry_after: float | None = None
    """Seconds after which the same request may succeed; also sent as ``Retry-After``."""
