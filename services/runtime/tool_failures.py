"""How a tool call goes wrong, as far as its caller has to know: for good, for now, or nobody knows.

ToolFailed           it did not do its work, and trying again would not help
├── TryLater         it was refused for now, so did nothing
└── OutcomeUnknown   nobody answered: it may have done its work
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

LONGEST_PAUSE_SECONDS = 86_400.0


class ToolFailed(Exception):
    """The message says why, and holds no secret."""


class TryLater(ToolFailed):
    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """`retry_after`: seconds, where the target said so."""
        super().__init__(message)
        self.retry_after = retry_after


class OutcomeUnknown(ToolFailed):
    def __init__(self, message: str, *, hopeless: bool = False) -> None:
        """`hopeless`: a call that may be repeated would come to the same."""
        super().__init__(message)
        self.hopeless = hopeless


def of_status(status: int, reason: str, retry_after: str | None) -> ToolFailed:
    """What an HTTP status that is no success means for a call."""
    if status in (429, 503):
        return TryLater(reason, retry_after=_seconds(retry_after))
    if status >= 500 or status == 408:
        return OutcomeUnknown(reason)
    return ToolFailed(reason)


def _seconds(header: str | None) -> float | None:
    """Of a Retry-After, in either of its forms; None for anything else."""
    try:
        seconds = float(header or "")
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header or "") - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # TypeError: a date without a zone
            return None
    return min(max(0.0, seconds), LONGEST_PAUSE_SECONDS) if isfinite(seconds) else None
