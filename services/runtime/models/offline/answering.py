"""Tools' results as text for a person: numbered rows, one line each; a record as its fields. No markup."""

from collections.abc import Sequence
from typing import Any

from services.runtime.models.offline.referring import Exchange
from services.runtime.models.offline.words import name_words, stem, terms

MAX_ROWS = 20
MAX_FIELDS = 8
MAX_TEXT = 300
_VERBS = frozenset(
    {"list", "find", "get", "show", "search", "fetch", "read", "lookup", "look", "up", "query", "all", "my"}
)
_NAMING = ("title", "name", "subject", "label")


def answer(done: Sequence[Exchange]) -> str:
    """What the calls of a turn gave."""
    return "\n\n".join(_one(each) for each in done)


def recalled(message: str, memories: Sequence[str], least: int = 1) -> str:
    """The memories that share at least so many telling words with the message, as a line each; "" when none does."""
    said = set(terms(message))
    found = [memory for memory in memories if len(said & set(terms(memory))) >= least]
    return "\n".join(f"You told me: {memory}" for memory in found[:3])


def _one(exchange: Exchange) -> str:
    call, result = exchange.call, exchange.result
    if result.error:
        return f"I could not do that ({_readable(call.name)}): {result.error}"
    value = result.result
    cut = ""
    if isinstance(value, dict) and set(value) == {"rows", "cut"}:
        value, cut = value["rows"], str(value["cut"])
    if value is None or value in ("", [], {}):
        return f"{_readable(call.name).capitalize()}: done." if value is None else f"No {_subject(call.name)} found."
    if isinstance(value, list):
        return _list(value, _subject(call.name), cut)
    if isinstance(value, dict):
        return _record(value)
    return f"{_readable(call.name).capitalize()}: {_scalar(value)}"


def _list(rows: list[Any], subject: str, cut: str = "") -> str:
    many = subject if len(rows) != 1 else _singular(subject)
    lines = [f"{len(rows)} {many}:"]
    for number, row in enumerate(rows[:MAX_ROWS], 1):
        lines.append(f"{number}. {_row(row) if isinstance(row, dict) else _scalar(row)}")
    if len(rows) > MAX_ROWS:
        lines.append(f"… and {len(rows) - MAX_ROWS} more")
    if cut:
        lines.append(f"({cut})")
    return "\n".join(lines)


def _row(row: dict[str, Any]) -> str:
    """``T-1001 · Printer jams · status open, priority high``: key and name first, the rest by name."""
    head = _head(row) or list(row)[:1]
    rest = [
        f"{_label(each)} {_scalar(value)}"
        for each, value in row.items()
        if each not in head and not isinstance(value, list | dict) and value is not None
    ]
    parts = [_scalar(row[each]) for each in head]
    return " · ".join([*parts, ", ".join(rest[:MAX_FIELDS])] if rest else parts)


def _record(record: dict[str, Any]) -> str:
    """Key and name first, then a line per field; lists and inner records beneath."""
    head = _head(record)
    lines = [" · ".join(_scalar(record[each]) for each in head)] if head else []
    beneath = []
    for name, value in record.items():
        if isinstance(value, dict | list):
            beneath += _inner(_label(name), value) if value else []
        elif name not in head:
            lines.append(f"{_label(name)}: {_scalar(value)}")
    return "\n".join(lines + beneath)


def _inner(label: str, value: dict[str, Any] | list[Any]) -> list[str]:
    if isinstance(value, dict):
        return [f"{label}: " + ", ".join(f"{_label(name)} {_scalar(each)}" for name, each in value.items())]
    if any(isinstance(each, dict) for each in value):
        rows = [_row(each) if isinstance(each, dict) else _scalar(each) for each in value[:MAX_ROWS]]
        return [f"{label}:", *(f"- {each}" for each in rows)]
    return [f"{label}: " + ", ".join(_scalar(each) for each in value[:MAX_ROWS])]


def _head(row: dict[str, Any]) -> list[str]:
    """The fields that say which one it is: its key, and its name."""
    key = next((each for each in row if each == "id" or each.endswith("_id")), None)
    name = next((each for each in _NAMING if row.get(each)), None)
    return [each for each in (key, name) if each and not isinstance(row[each], list | dict)]


def _scalar(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:g}"
    if isinstance(value, list | dict):
        return f"({len(value)} entries)"
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _label(name: str) -> str:
    return " ".join(name_words(name)) or name


def _readable(tool: str) -> str:
    return " ".join(name_words(tool)) or tool


def _subject(tool: str) -> str:
    """``list_tickets`` → tickets."""
    return " ".join(word for word in name_words(tool) if word not in _VERBS) or "results"


def _singular(subject: str) -> str:
    *front, last = subject.split()
    return " ".join([*front, last[:-1] if last.endswith("s") and stem(last) != last else last])
