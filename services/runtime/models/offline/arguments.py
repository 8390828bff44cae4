"""A tool's arguments, as far as the text of a message holds them. Reads the tool's JSON schema; invents nothing."""

import re
from datetime import date
from typing import Any

from bureau_contracts.shapes import JsonObject
from services.runtime.models.model import ToolSpec
from services.runtime.models.offline.dates import Period, periods
from services.runtime.models.offline.parameters import Parameter, parameters
from services.runtime.models.offline.words import ID, QUOTED, READ_CHARS, name_words, singular, stem, terms, words

MAX_IDS = 5
"""Of one message: “show T-1001 and T-1003” becomes one call for each."""

_NUMBER_WORDS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
}  # fmt: skip
_NUMBER = r"-?\d+(?:\.\d+)?"
_COUNT_NAME = re.compile(r"(^|_)(limit|count|top|n|k|max|size|number|how_many)($|_)")
_END_NAME = re.compile(r"(^|_)(until|to|end|before)($|_)")
_QUERY_NAME = re.compile(r"(^|_)(q|query|search|text|topic|keyword|keywords|subject|term|terms|phrase)($|_)")
_PROSE_NAME = re.compile(
    r"(^|_)(text|comment|message|note|body|content|reason|title|description|summary|name|query)($|_)"
)
_NEGATED = re.compile(r"\b(no|not|without|except|excluding|don't)\s+(\w+\s+)?$")


def read_arguments(text: str, tool: ToolSpec, today: date, anchor: date | None = None) -> JsonObject:
    """Every parameter that the text gives a value for. An identifier is the first one named."""
    return _Reading(text[:READ_CHARS], tool, today, anchor).arguments()


def identifiers(text: str, tool: ToolSpec) -> tuple[str, list[str]] | None:
    """The tool's identifier parameter and all values that the text names for it; None when there are none."""
    for parameter in parameters(tool):
        if parameter.is_identifier and parameter.required:
            found = _ids(text[:READ_CHARS], tool, parameter)
            return (parameter.name, found[:MAX_IDS]) if found else None
    return None


def explained_terms(text: str, tool: ToolSpec) -> frozenset[str]:
    """Stems that are values of the tool's choices: they say with what to call it, and a little that it is meant."""
    spoken = {singular(word) for word in words(text)}
    return frozenset(
        stem(word)
        for parameter in parameters(tool)
        for choice in parameter.choices
        for word in name_words(str(choice))
        if singular(word) in spoken
    )


class _Reading:
    """One text read for one tool. A part that was understood as one argument is not read as another."""

    def __init__(self, text: str, tool: ToolSpec, today: date, anchor: date | None) -> None:
        self._tool, self._parameters = tool, parameters(tool)
        self._text, self._lower = text, text.lower()
        self._periods = periods(text, today, anchor)
        self._quotes = [match[1] or match[2] for match in QUOTED.finditer(text)]
        self._left = self._blank(text)

    def arguments(self) -> JsonObject:
        found: JsonObject = {}
        for parameter in self._parameters:
            value = self._value(parameter)
            if value is not None and parameter.fits(value):
                found[parameter.name] = value
        self._fill_prose(found)
        return found

    def _value(self, parameter: Parameter) -> Any:
        if parameter.choices:
            chosen = self._chosen(parameter)
            return (chosen or None) if parameter.kind == "array" else (chosen[0] if chosen else None)
        if parameter.kind == "boolean":
            return self._flag(parameter)
        if parameter.is_time and self._periods:
            return _moment(parameter, self._periods)
        if parameter.kind in ("integer", "number"):
            return self._number(parameter)
        if parameter.is_identifier or parameter.schema.get("pattern"):
            ids = _ids(self._text, self._tool, parameter)
            return ids[0] if ids else None
        if parameter.kind == "array":
            ids = ID.findall(self._text)
            return ids or self._quotes or None
        return None

    def _chosen(self, parameter: Parameter) -> list[Any]:
        """The choices that the text names and does not exclude, in the order of the text."""
        spoken = [(match.start(), singular(match[0])) for match in re.finditer(r"\w+", self._lower.replace("_", " "))]
        found: list[tuple[int, Any]] = []
        for choice in parameter.choices:
            wanted = [singular(word) for word in name_words(str(choice))]
            for index in range(len(spoken) - len(wanted) + 1):
                here = [each for _, each in spoken[index : index + len(wanted)]]
                if wanted and here == wanted and not _NEGATED.search(self._lower[: spoken[index][0]]):
                    found.append((spoken[index][0], choice))
                    break
        return [choice for _, choice in sorted(found, key=lambda each: each[0])]

    def _flag(self, parameter: Parameter) -> bool | None:
        wanted = [stem(word) for word in name_words(parameter.name)]
        spoken = [stem(word) for word in words(self._lower)]
        if not wanted or not all(word in spoken for word in wanted):
            return None
        last = name_words(parameter.name)[-1]
        before = self._lower.partition(last[:4])[0]
        return not _NEGATED.search(before)

    def _number(self, parameter: Parameter) -> int | float | None:
        named = "|".join(re.escape(word[:5]) + r"\w*" for word in name_words(parameter.name))
        numbers = f"({_NUMBER}|{'|'.join(_NUMBER_WORDS)})"
        patterns = [rf"\b(?:{named})\s*(?:is|=|:|of|to)?\s*{numbers}\b", rf"\b{numbers}\s+(?:{named})\b"]
        if _COUNT_NAME.search(parameter.name):
            patterns.append(rf"\b(?:top|first|last|latest|only|at most|up to|limit)\s+{numbers}\b")
        elif parameter.required and sum(each.kind in ("integer", "number") for each in self._parameters) == 1:
            patterns.append(rf"(?<![\w.-]){numbers}(?![\w-])")
        for pattern in patterns:
            match = re.search(pattern, self._left.lower())
            if match:
                number = float(_NUMBER_WORDS.get(match[1], match[1]))
                return int(number) if parameter.kind == "integer" and number == int(number) else number
        return None

    def _fill_prose(self, found: JsonObject) -> None:
        """Free text: quotations, what follows a colon, else what is left of the message when the tool's own words are
        taken away. Only parameters whose name says that they want prose, and the only one that is required."""
        free = [
            each for each in self._parameters
            if each.name not in found and each.kind == "string" and not each.choices and not each.is_identifier
            and not each.is_time and not each.schema.get("pattern") and not each.schema.get("format")
        ]  # fmt: skip
        prose = [
            each for each in free if _PROSE_NAME.search(each.name) or _QUERY_NAME.search(each.name) or each.required
        ]
        for parameter, quote in zip(prose, self._quotes, strict=False):
            found[parameter.name] = quote
        open_ones = [each for each in prose if each.name not in found]
        needed = [each for each in open_ones if each.required]
        for parameter in needed[:1] if len(needed) == 1 else []:
            text = self._after_colon() or self._rest(parameter)
            if text and parameter.fits(text):
                found[parameter.name] = text
        for parameter in open_ones:
            if parameter.name not in found and (text := self._named_text(parameter)) and parameter.fits(text):
                found[parameter.name] = text

    def _after_colon(self) -> str | None:
        match = re.search(r":\s+(\S.*)$", self._text, re.DOTALL)
        return match[1].strip() if match else None

    def _rest(self, parameter: Parameter) -> str | None:
        match = re.search(
            r"\b(?:about|regarding|concerning|named|called|titled|saying|that says|for|on)\s+(.+?)[?.!]*$",
            self._left,
            re.I | re.S,
        )
        known = {stem(word) for word in _vocabulary(self._tool)}
        candidates = [match[1]] if match else []
        if _QUERY_NAME.search(parameter.name):
            unknown = [
                word for word in re.findall(r"[\w'-]+", self._left) if terms(word) and stem(word.lower()) not in known
            ]
            candidates.append(" ".join(unknown))
        for candidate in candidates:
            if any(each not in known for each in terms(candidate)):
                return candidate.strip()
        return None

    def _named_text(self, parameter: Parameter) -> str | None:
        """``service: web`` or ``for the service web``: the parameter's own name, then its value."""
        name = r"\s+".join(re.escape(word) for word in name_words(parameter.name))
        match = re.search(rf"\b{name}\s*(?:is|=|:|named|called)\s*([\w][\w.@/-]*)", self._left, re.IGNORECASE)
        return match[1] if match else None

    def _blank(self, text: str) -> str:
        """The text without quotations, identifiers and times, its length kept."""
        spans = [match.span() for pattern in (QUOTED, ID) for match in pattern.finditer(text)]
        for start, end in [*spans, *(each.span for each in self._periods)]:
            text = text[:start] + " " * (end - start) + text[end:]
        return text


def _ids(text: str, tool: ToolSpec, parameter: Parameter) -> list[str]:
    """Identifiers in the text that look like those of the schema or of the tool's examples."""
    pattern = parameter.schema.get("pattern")
    if isinstance(pattern, str):
        found = [word.strip(".,;:!?()\"'") for word in text.split()]
        return _unique([word for word in found if word and parameter.fits(word)])
    samples = [str(each) for each in parameter.schema.get("examples", [])]
    samples += [each for example in tool.examples for each in ID.findall(example)]
    if parameter.kind == "integer":
        return []
    if not samples:
        return _unique(ID.findall(text) or re.findall(r"(?<![\w-])#?(\d{2,})(?![\w-])", text))
    shapes = {_shape(each) for each in samples}
    found = re.findall(r"[A-Za-z0-9][\w-]*", text)
    return _unique([each for each in found if _shape(each) in shapes])


def _shape(identifier: str) -> str:
    """``T-1002`` and ``t-7`` are of one shape, ``C-201`` is of another; longer letters may differ (``python-101``)."""
    letters = re.sub(r"\d+", "9", identifier.lower())
    return re.sub(r"[a-z]{4,}", "a", letters)


def _moment(parameter: Parameter, found: list[Period]) -> Any:
    """A period in the form that the parameter wants."""
    wants_end = _END_NAME.search(parameter.name) is not None
    period = found[-1] if wants_end else found[0]
    day = period.last if wants_end else period.first
    described = f"{parameter.name} {parameter.schema.get('description', '')}".lower()
    if parameter.kind == "integer":
        return day.year if "year" in described else day.month if "month" in described else None
    if parameter.schema.get("format") == "date-time":
        return f"{day.isoformat()}T00:00:00Z"
    if parameter.schema.get("format") == "date":
        return day.isoformat()
    if "month" in described or "yyyy-mm" in described.replace("yyyy-mm-dd", ""):
        return day.isoformat()[:7]
    if "year" in described:
        return day.isoformat()[:4]
    if "period" in parameter.name and period.unit == "month":
        return day.isoformat()[:7]
    return day.isoformat()


def _vocabulary(tool: ToolSpec) -> list[str]:
    text = [*name_words(tool.name), *words(tool.description)]
    for example in tool.examples:
        text += words(QUOTED.sub(" ", example))
    return text


def _unique(found: list[str]) -> list[str]:
    return list(dict.fromkeys(found))
