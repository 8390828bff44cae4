"""The language of metadata filters: read from JSON, and asked of one memory's metadata. No SQL here.

    {"and": [{"eq": ["project", "atlas"]}, {"not": {"gt": ["cost.total", 100]}}]}

`eq` `ne` `gt` `gte` `lt` `lte` compare a value, `in` with several, `contains` looks for a part of a text or an element
of a list, `exists` for the key; `and` `or` `not` join. A key is a path into objects: `"cost.total"`, or `["a.b", "c"]`
where a key has a dot. What has another type, or is not there, does not compare: that is false, and so true for `ne`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from kit.errors import Invalid

DEEPEST = 8
MOST_CONDITIONS = 50
MOST_VALUES = 100
LONGEST_TEXT = 1000
LONGEST_PATH = 8

Scalar: TypeAlias = "str | int | float | bool | None"


class Operator(StrEnum):
    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    CONTAINS = "contains"
    EXISTS = "exists"


ORDERED = frozenset({Operator.GT, Operator.GTE, Operator.LT, Operator.LTE})


@dataclass(frozen=True, slots=True)
class Compare:
    operator: Operator
    path: tuple[str, ...]
    values: tuple[Scalar, ...]
    """One, but several for `in` and none for `exists`."""


@dataclass(frozen=True, slots=True)
class All:
    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    part: "Condition"


Condition: TypeAlias = Compare | All | AnyOf | Not


class BadFilter(Invalid):
    code = "invalid_filter"

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")


def read(written: Any) -> Condition:
    """The condition that was written. Raises BadFilter, which names the place."""
    condition = _read(written, "filter", 1)
    if sum(1 for _ in _comparisons(condition)) > MOST_CONDITIONS:
        raise BadFilter("filter", f"at most {MOST_CONDITIONS} comparisons")
    return condition


def matches(condition: Condition, metadata: Mapping[str, Any]) -> bool:
    match condition:
        case All(parts):
            return all(matches(part, metadata) for part in parts)
        case AnyOf(parts):
            return any(matches(part, metadata) for part in parts)
        case Not(part):
            return not matches(part, metadata)
        case Compare():
            return _holds(condition, _value_at(condition.path, metadata))


def _read(written: Any, place: str, depth: int) -> Condition:
    if depth > DEEPEST:
        raise BadFilter(place, f"nested more than {DEEPEST} deep")
    if not isinstance(written, dict) or len(written) != 1:
        raise BadFilter(place, 'an object with one operator, such as {"eq": ["project", "atlas"]}')
    ((name, operand),) = written.items()
    here = f"{place}.{name}"
    if name == "not":
        return Not(_read(operand, here, depth + 1))
    if name in ("and", "or"):
        if not isinstance(operand, list) or not operand:
            raise BadFilter(here, "a list of conditions")
        parts = tuple(_read(part, f"{here}[{number}]", depth + 1) for number, part in enumerate(operand))
        return All(parts) if name == "and" else AnyOf(parts)
    if name not in list(Operator):
        raise BadFilter(here, f"no such operator; there are {', '.join(Operator)}, and, or, not")
    return _read_comparison(Operator(name), operand, here)


def _read_comparison(operator: Operator, operand: Any, place: str) -> Compare:
    if operator is Operator.EXISTS:
        return Compare(operator, _path(operand, place), ())
    if not isinstance(operand, list) or len(operand) != 2:
        raise BadFilter(place, "a list of a key and a value")
    path, value = _path(operand[0], place), operand[1]
    if operator is not Operator.IN:
        values: Sequence[Any] = (value,)
    elif isinstance(value, list) and value and len(value) <= MOST_VALUES:
        values = value
    else:
        raise BadFilter(place, f"a list of 1 to {MOST_VALUES} values")
    for each in values:
        if not isinstance(each, str | int | float | bool | None):
            raise BadFilter(place, "values are texts, numbers, true, false or null")
        if isinstance(each, str) and (len(each) > LONGEST_TEXT or "\x00" in each):
            raise BadFilter(place, f"a text of at most {LONGEST_TEXT} characters, without NUL")
        if operator in ORDERED and (each is None or isinstance(each, bool)):
            raise BadFilter(place, "only numbers and texts have an order")
    return Compare(operator, path, tuple(values))


def _path(written: Any, place: str) -> tuple[str, ...]:
    keys = written.split(".") if isinstance(written, str) else written
    if not isinstance(keys, list) or not 1 <= len(keys) <= LONGEST_PATH:
        raise BadFilter(place, f"a key, or a list of 1 to {LONGEST_PATH} keys")
    if not all(isinstance(key, str) and 0 < len(key) <= 200 and "\x00" not in key for key in keys):
        raise BadFilter(place, "a key is a text of 1 to 200 characters")
    return tuple(keys)


def _comparisons(condition: Condition) -> Iterator[Compare]:
    match condition:
        case Compare():
            yield condition
        case Not(part):
            yield from _comparisons(part)
        case All(parts) | AnyOf(parts):
            for each in parts:
                yield from _comparisons(each)


class _Missing:
    """No value at a path; null is a value."""


def _value_at(path: Sequence[str], metadata: Mapping[str, Any]) -> Any:
    value: Any = metadata
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return _Missing
        value = value[key]
    return value


def _holds(condition: Compare, value: Any) -> bool:
    match condition.operator:
        case Operator.EXISTS:
            return value is not _Missing
        case Operator.NE:
            return not _equal(value, condition.values[0])
        case Operator.EQ | Operator.IN:
            return any(_equal(value, each) for each in condition.values)
        case Operator.CONTAINS:
            return _contains(value, condition.values[0])
        case _:
            return _compares(condition.operator, value, condition.values[0])


def _equal(value: Any, other: Scalar) -> bool:
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    return type(value) in (str, int, float, type(None)) and bool(value == other)


def _contains(value: Any, part: Scalar) -> bool:
    if isinstance(value, str):
        return isinstance(part, str) and part in value
    return isinstance(value, list) and any(_equal(each, part) for each in value)


_ORDER: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.GT: lambda one, other: one > other,
    Operator.GTE: lambda one, other: one >= other,
    Operator.LT: lambda one, other: one < other,
    Operator.LTE: lambda one, other: one <= other,
}


def _compares(operator: Operator, value: Any, other: Scalar) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (value, other))
    texts = isinstance(value, str) and isinstance(other, str)
    return (numbers or texts) and _ORDER[operator](value, other)
