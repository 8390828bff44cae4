"""Times that people name in passing: “last month”, “in March”, “since 2026-09-01”. Days only, English only."""

import re
from dataclasses import dataclass
from datetime import date, timedelta

_MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905
_NAMED = "|".join(f"{name[:3]}(?:{name[3:]})?" if name != "may" else "may" for name in _MONTHS)
_NUMBER = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "twelve": 12}
_UNIT = r"(day|week|month|quarter|year)"
_PATTERN = re.compile(
    rf"(?P<day>\b\d{{4}}-\d\d-\d\d\b)|(?P<month>\b\d{{4}}-\d\d\b)(?!-)"
    rf"|\b(?P<word>today|yesterday|tomorrow)\b"
    rf"|\b(?P<before>(?:the )?{_UNIT} (?:before|earlier))\b|\b(?P<prior>previous {_UNIT})\b"
    rf"|\b(?P<rel>this|current|last|past|next) (?P<rel_unit>day|week|month|quarter|year)\b"
    rf"|\b(?:last|past) (?P<count>\d{{1,3}}|{'|'.join(_NUMBER)}) (?P<count_unit>day|week|month|year)s?\b"
    rf"|\b(?P<ago>\d{{1,3}}|{'|'.join(_NUMBER)}) (?P<ago_unit>day|week|month|year)s? ago\b"
    rf"|\b(?P<named>{_NAMED})\b(?:[ ,]+(?P<named_year>(?:19|20)\d\d))?"
    rf"|\bin (?P<year>(?:19|20)\d\d)\b(?!-)",
    re.IGNORECASE,
)
_COMPARED = re.compile(r"\b(with|to|than|versus|vs\.?|against|from)\s+(the\s+)?$", re.IGNORECASE)
_COMPARING = re.compile(r"\b(compar\w+|differ\w*|versus|vs|than|against|chang\w+|grew|grow\w*)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Period:
    """First and last day, both included; `unit` is how it was named."""

    first: date
    last: date
    unit: str
    span: tuple[int, int]
    """Where in the text it stands."""


def periods(text: str, today: date, anchor: date | None = None) -> list[Period]:
    """All times that the text names, in order. `anchor` is what “the month before” counts from; else it is today.

    What something is only compared with (“with last month”) is not what the text is about, and is left out.
    """
    found = []
    for match in _PATTERN.finditer(text):
        if _COMPARED.search(text[: match.start()]) and _COMPARING.search(text):
            continue
        try:
            bounds = _bounds(match, today, anchor or today)
        except (ValueError, OverflowError):
            continue  # a thirteenth month
        if bounds is not None:
            found.append(Period(*bounds, match.span()))
    return found


def _bounds(match: re.Match[str], today: date, anchor: date) -> tuple[date, date, str] | None:
    if match["day"]:
        day = date.fromisoformat(match["day"])
        return day, day, "day"
    if match["month"]:
        return _of_unit("month", date.fromisoformat(f"{match['month']}-01"), 0)
    if match["word"]:
        day = today + timedelta(days={"yesterday": -1, "today": 0, "tomorrow": 1}[match["word"].lower()])
        return day, day, "day"
    if match["before"] or match["prior"]:
        named = re.search(_UNIT, (match["before"] or match["prior"]).lower())
        return _of_unit(named[1], anchor, -1) if named else None
    if match["rel"]:
        step = {"this": 0, "current": 0, "next": 1}.get(match["rel"].lower(), -1)
        return _of_unit(match["rel_unit"].lower(), today, step)
    if match["count"]:
        unit = match["count_unit"].lower()
        return _of_unit(unit, today, -_number(match["count"]))[0], today, unit
    if match["ago"]:
        return _of_unit(match["ago_unit"].lower(), today, -_number(match["ago"]))
    if match["named"]:
        return _named(match, today)
    return _of_unit("year", date(int(match["year"]), 1, 1), 0)


def _named(match: re.Match[str], today: date) -> tuple[date, date, str] | None:
    name = match["named"].lower()
    if name in ("may", "mar", "march") and not match["named"][0].isupper() and not _after_preposition(match):
        return None  # the verb
    number = next(i for i, each in enumerate(_MONTHS, 1) if each.startswith(name[:3]))
    # Without a year it is the last such month: people ask about what was.
    year = int(match["named_year"]) if match["named_year"] else today.year - (number > today.month)
    return _of_unit("month", date(year, number, 1), 0)


def _after_preposition(match: re.Match[str]) -> bool:
    return (
        re.search(r"\b(in|of|for|since|until|from|to|during|and)\s+$", match.string[: match.start()], re.I) is not None
    )


def _of_unit(unit: str, day: date, step: int) -> tuple[date, date, str]:
    """The day's own day, week, month …, moved by `step` of them."""
    if unit == "day":
        day += timedelta(days=step)
        return day, day, unit
    if unit == "week":
        monday = day - timedelta(days=day.weekday()) + timedelta(weeks=step)
        return monday, monday + timedelta(days=6), unit
    length = {"month": 1, "quarter": 3, "year": 12}[unit]
    number = (day.year * 12 + day.month - 1) // length * length + step * length
    return _month_start(number), _month_start(number + length) - timedelta(days=1), unit


def _month_start(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBER[word.lower()]
