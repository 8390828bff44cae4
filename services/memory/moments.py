"""Moments that every store keeps as they are: in UTC, and none that Postgres takes for one without an end."""

from datetime import UTC, datetime

from kit.errors import Invalid


def utc(moment: datetime | None) -> datetime | None:
    """Raises Invalid beyond the years 1 to 9999, and for the very first and the very last moment: asyncpg writes them
    as infinite, and what it then reads has no time zone."""
    try:
        in_utc = moment and moment.astimezone(UTC)
    except OverflowError:
        in_utc = datetime.min.replace(tzinfo=UTC)
    if in_utc and in_utc.replace(tzinfo=None) in (datetime.min, datetime.max):
        raise Invalid("a time at or beyond the ends of the years 1 to 9999 in UTC: what has no end is left out")
    return in_utc
