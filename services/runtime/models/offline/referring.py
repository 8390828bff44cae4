"""What was said and shown before, and what “it”, “the second one” or “show details” mean by it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from bureau_contracts.sessions import NewMessage, Role, ToolCall, ToolResult
from services.runtime.models.offline.parameters import Parameter

Row = dict[str, Any]

_ORDINALS = {
    "first": 0, "1st": 0, "former": 0, "top": 0, "second": 1, "2nd": 1, "latter": 1, "third": 2, "3rd": 2,
    "fourth": 3, "4th": 3, "fifth": 4, "5th": 4, "last": -1,
}  # fmt: skip
_ORDINAL = re.compile(
    rf"\b(?:the )?({'|'.join(_ORDINALS)})(?: (?:ones?|ticket|item|row|entry|result|option|course|record)\b"
    r"|(?= ?[?.!]*$))"
    r"|(?:\b(?:number|item|row|option|no\.?) ?|#)(\d{1,3})\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Exchange:
    """One call with its result."""

    call: ToolCall
    result: ToolResult
    round: int
    """Calls that ran together have the same number; a later one has a greater."""


@dataclass
class Past:
    """What the conversation holds before the user's last message."""

    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def last_call(self) -> ToolCall | None:
        return self.exchanges[-1].call if self.exchanges else None

    @property
    def shown(self) -> list[Row]:
        """What was shown last: the rows of a list, or the one record that it was."""
        return next(self._rounds(), [])

    def meant(self, message: str) -> Row | None:
        """The row that the message points at; without an ordinal the first of what was shown last."""
        match = _ORDINAL.search(message)
        if match is None:
            return self.shown[0] if self.shown else None
        position = _ORDINALS[match[1].lower()] if match[1] else int(match[2]) - 1
        for rows in self._rounds():
            if len(rows) > 1:  # a list; a single record has no second one
                return rows[position] if -len(rows) <= position < len(rows) else None
        return self.shown[0] if self.shown and position in (0, -1) else None

    def _rounds(self) -> Iterator[list[Row]]:
        """What each round of calls showed, the last one first; those that showed nothing are left out."""
        for _, together in groupby(reversed(self.exchanges), key=lambda each: each.round):
            rows = [row for each in reversed(list(together)) for row in rows_of(each.result.result)]
            if rows:
                yield rows

    def argument(self, name: str) -> Any:
        """The last value that a call gave to a parameter of this name."""
        for each in reversed(self.exchanges):
            if name in each.call.arguments:
                return each.call.arguments[name]
        return None


def points_by_number(message: str) -> bool:
    return _ORDINAL.search(message) is not None


def past_of(messages: Sequence[NewMessage]) -> Past:
    """Calls and results before the last message of the user."""
    end = last_user(messages)
    return Past(exchanges(messages[:end]))


def last_user(messages: Sequence[NewMessage]) -> int:
    """Index of the user's last message; 0 when there is none."""
    return max((index for index, each in enumerate(messages) if each.role is Role.USER), default=0)


def exchanges(messages: Sequence[NewMessage]) -> list[Exchange]:
    calls: dict[str, ToolCall] = {}
    found = []
    for number, message in enumerate(messages):
        calls.update({call.call_id: call for call in message.tool_calls})
        found += [Exchange(calls[each.call_id], each, number) for each in message.tool_results if each.call_id in calls]
    return found


def rows_of(result: Any) -> list[Row]:
    """The rows of a list, of a record that is one row, or of a record that wraps a list."""
    if isinstance(result, list):
        return [row for row in result if isinstance(row, dict)]
    if not isinstance(result, dict):
        return []
    if not any(_is_key(name) for name in result):
        for value in result.values():
            if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
                return value
    return [result]


def value_from(row: Row, parameter: Parameter) -> Any:
    """What a row says for a parameter: the field of its name, or the row's own key for an identifier."""
    if parameter.name in row:
        value = row[parameter.name]
    elif parameter.is_identifier and "id" in row:
        value = row["id"]
    elif f"{parameter.name}_id" in row:
        value = row[f"{parameter.name}_id"]
    else:
        return None
    return value if parameter.fits(value) else None


def _is_key(name: str) -> bool:
    return name == "id" or name.endswith("_id")
