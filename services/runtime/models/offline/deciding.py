"""What to do about a user's message: which tools to call, with which arguments, or what to ask. No clock, no I/O."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from bureau_contracts.runtime import Risk
from bureau_contracts.shapes import JsonObject
from services.runtime.follow_ups import FollowUp, read_follow_up
from services.runtime.models.model import ToolSpec
from services.runtime.models.offline.arguments import identifiers, read_arguments
from services.runtime.models.offline.choosing import ENOUGH, Chooser, Scored
from services.runtime.models.offline.parameters import Parameter, parameters
from services.runtime.models.offline.referring import Past, points_by_number, value_from
from services.runtime.models.offline.words import READ_CHARS, terms

MAX_CLAUSES = 5
CLEARLY_MEANT = 0.7
"""A part of a message stands for a call of its own from this score on."""
NEXT_BEST = 0.8
"""When the best tool lacks an argument, another one with this share of its score is called instead of asking."""

_BETWEEN_CLAUSES = re.compile(r"\s+(?:and then|and also|then|and)\s+|[;.?!]+\s+", re.IGNORECASE)
_DETAIL = re.compile(r"detail|describe|one |single|inspect|explain|more about", re.IGNORECASE)


@dataclass(frozen=True)
class Call:
    tool: str
    arguments: JsonObject


@dataclass(frozen=True)
class Decision:
    """Calls to make; or the parameters that are missing for the tool that was meant; or a `note`; or nothing."""

    calls: list[Call] = field(default_factory=list)
    tool: ToolSpec | None = None
    missing: list[str] = field(default_factory=list)
    note: str = ""
    """Why nothing is called, where that is known."""


class Decider:
    """For one message. Its parts are looked at as well: the one that says most may be only half of it."""

    def __init__(self, tools: Sequence[ToolSpec], past: Past, today: date, message: str) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._past, self._today = past, today
        self._message = message[:READ_CHARS]
        self._chooser = Chooser(tools, self._message)

    def decide(self) -> Decision:
        message = self._message
        if several := self._several(message):
            return Decision(several)
        follow_up = self._follow_up(message)
        if follow_up and follow_up.bare and (decision := self._continue(message)):
            return decision
        part, ranked = self._best_part(message)
        likely = [each.tool for each in ranked if each.enough and each.score >= ranked[0].score * NEXT_BEST]
        for tool in likely:
            decision = self._call(tool, message, self._follow_up(part))
            if decision.calls:
                return decision
        if likely:
            return self._call(likely[0], message, self._follow_up(part))
        return (self._continue(message) if follow_up else None) or Decision(note=self._out_of_range(message))

    def _out_of_range(self, message: str) -> str:
        shown = len(self._past.shown)
        if not shown or not points_by_number(message) or self._past.meant(message) is not None:
            return ""
        return f"There is no such entry: I showed {shown} of them."

    def _follow_up(self, message: str) -> FollowUp | None:
        return read_follow_up(message) if self._past.exchanges else None

    def _best_part(self, message: str) -> tuple[str, list[Scored]]:
        """The message as a whole or, where that says more, one part of it; and what it means."""
        parts = [message, *_clauses(message), message.partition(": ")[0]]
        ranked = [(part, self._chooser.rank(part)) for part in parts if terms(part) or part is message]
        return max(ranked, key=lambda each: each[1][0].score if each[1] else 0)

    def _several(self, message: str) -> list[Call]:
        """The calls of a message whose parts each mean one clearly, and not the same one."""
        parts = _clauses(message)
        calls: list[Call] = []
        for part in parts if len(parts) > 1 else []:
            best = next(iter(self._chooser.rank(part)), None)
            if not terms(part) or best is None or best.score < CLEARLY_MEANT or not best.enough:
                return []
            made = self._call(best.tool, part, self._follow_up(part)).calls
            if not made:
                return []
            calls += [each for each in made if each not in calls]
        return calls if len(calls) > 1 else []

    def _call(self, tool: ToolSpec, message: str, follow_up: FollowUp | None) -> Decision:
        arguments = read_arguments(message, tool, self._today)
        missing: list[str] = []
        numbered = points_by_number(message)
        refers = follow_up is not None or numbered
        for parameter in parameters(tool):
            if parameter.name in arguments:
                continue
            value = self._assumed(parameter, message, numbered) if self._may_assume(tool, refers) else None
            if not parameter.required:
                # Only what was spoken of just now: "compare it", "and for storage?".
                value = self._last_arguments.get(parameter.name) if refers and not numbered else None
            if value is not None and parameter.fits(value):
                arguments[parameter.name] = value
            elif parameter.required:
                missing.append(parameter.name)
        if missing:
            return Decision(tool=tool, missing=missing)
        ids = identifiers(message, tool)
        if ids is not None and len(ids[1]) > 1:
            return Decision([Call(tool.name, {**arguments, ids[0]: each}) for each in ids[1]])
        return Decision([Call(tool.name, arguments)])

    def _assumed(self, parameter: Parameter, message: str, numbered: bool) -> Any:
        """A required value that was not said: of the row that is meant, else of an earlier call."""
        row = self._past.meant(message)
        value = value_from(row, parameter) if row is not None else None
        return self._past.argument(parameter.name) if value is None and not numbered else value

    @property
    def _last_arguments(self) -> JsonObject:
        last = self._past.last_call
        return last.arguments if last is not None else {}

    def _may_assume(self, tool: ToolSpec, refers: bool) -> bool:
        """What was not said may be taken from what was shown: for reading always; for acting when the message points
        back, or when only one thing was shown that it could mean."""
        return tool.risk is Risk.READ or refers or len(self._past.shown) == 1

    def _continue(self, message: str) -> Decision | None:
        """A message that says nothing by itself: the last call with other arguments, or a closer look at a row."""
        last = self._past.last_call
        again = self._tools.get(last.name) if last is not None else None
        if last is not None and again is not None and again.risk is Risk.READ:
            anchor = _day_of(last.arguments) or _day_of(next(iter(self._past.shown), {}))
            changed = read_arguments(message, again, self._today, anchor)
            if changed and {**last.arguments, **changed} != last.arguments:
                return Decision([Call(again.name, {**last.arguments, **changed})])
        return self._closer_look(message)

    def _closer_look(self, message: str) -> Decision | None:
        row = self._past.meant(message)
        if row is None:
            return None
        found: list[tuple[float, ToolSpec, JsonObject]] = []
        scores = {each.tool.name: each.score for each in self._chooser.rank(message)}
        for tool in self._tools.values():
            needed = [each for each in parameters(tool) if each.required]
            values = {each.name: value_from(row, each) for each in needed}
            if tool.risk is Risk.READ and needed and all(value is not None for value in values.values()):
                about = " ".join([tool.name, tool.description, *tool.examples])
                found.append((scores[tool.name] + (ENOUGH if _DETAIL.search(about) else 0), tool, values))
        if not found:
            return None
        _, tool, arguments = max(found, key=lambda each: each[0])
        return Decision([Call(tool.name, arguments)])


def _clauses(message: str) -> list[str]:
    return [part for part in _BETWEEN_CLAUSES.split(message.strip()) if part.strip()][:MAX_CLAUSES]


def _day_of(fields: JsonObject) -> date | None:
    """The day or month that a call or a record is about."""
    for value in fields.values():
        if isinstance(value, str) and (match := re.fullmatch(r"(\d{4}-\d\d)(-\d\d)?", value)):
            try:
                return date.fromisoformat(match[1] + (match[2] or "-01"))
            except ValueError:
                continue
    return None
