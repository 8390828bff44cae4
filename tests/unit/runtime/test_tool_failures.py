"""What an HTTP status means for a call, and when its target wants to be asked again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.runtime.tool_failures import LONGEST_PAUSE_SECONDS, TryLater, of_status


def pause(header: str | None) -> float | None:
    failure = of_status(503, "away", header)
    assert isinstance(failure, TryLater)
    return failure.retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None), ("", None), ("7", 7), ("0.5", 0.5), ("-3", 0), ("1e9", LONGEST_PAUSE_SECONDS), ("inf", None),
        ("nan", None), ("soon", None), ("Mon, 99 Foo 2026 00:00:00 GMT", None), ("Mon, 30 Nov 2020 10:00:00 GMT", 0),
    ],
)  # fmt: skip
def test_a_pause_is_seconds_or_nothing(header: str | None, seconds: float | None) -> None:
    assert pause(header) == seconds


def test_a_pause_may_be_a_date() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert pause(when) == pytest.approx(90, abs=5)
