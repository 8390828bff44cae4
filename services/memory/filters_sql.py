"""Metadata filters as SQL. Whatever the caller wrote travels as a parameter; the text knows only the shape."""

import json
from collections.abc import Sequence

from services.memory.filters import All, AnyOf, Compare, Condition, Not, Operator, Scalar

_SIGNS = {Operator.GT: ">", Operator.GTE: ">=", Operator.LT: "<", Operator.LTE: "<="}


def compiled(condition: Condition | None, first: int) -> tuple[str, list[object]]:
    """A condition on `i.metadata` whose parameters begin at $`first`, and those; "true" when there is none.

    It is never NULL: what is not there does not compare, also under a `not`.
    """
    parameters: list[object] = []

    def parameter(value: object, kind: str) -> str:
        parameters.append(value)
        return f"${first + len(parameters) - 1}::{kind}"

    def sql(part: Condition) -> str:
        match part:
            case All(parts):
                return f"({' AND '.join(map(sql, parts))})"
            case AnyOf(parts):
                return f"({' OR '.join(map(sql, parts))})"
            case Not(inner):
                return f"NOT {sql(inner)}"
            case Compare():
                return comparison(part)

    def comparison(part: Compare) -> str:
        # `->` with a text finds keys of objects only; `#>` would also count through lists.
        value = " -> ".join(["i.metadata", *(parameter(key, "text") for key in part.path)])
        match part.operator:
            case Operator.EXISTS:
                return f"(({value}) IS NOT NULL)"
            case Operator.EQ | Operator.IN:
                return f"coalesce(({value}) = ANY ({parameter(_json(part.values), 'jsonb[]')}), false)"
            case Operator.NE:
                return f"NOT coalesce(({value}) = {parameter(json.dumps(part.values[0]), 'jsonb')}, false)"
            case Operator.CONTAINS:
                return contains(value, part.values[0])
            case _:
                return ordered(value, part.operator, part.values[0])

    def contains(value: str, wanted: Scalar) -> str:
        element = f"jsonb_typeof({value}) = 'array' AND ({value}) @> {parameter(json.dumps([wanted]), 'jsonb')}"
        if not isinstance(wanted, str):
            return f"coalesce({element}, false)"
        text = f"jsonb_typeof({value}) = 'string' AND strpos(({value}) #>> '{{}}', {parameter(wanted, 'text')}) > 0"
        return f"coalesce(({element}) OR ({text}), false)"

    def ordered(value: str, operator: Operator, limit: Scalar) -> str:
        sign = _SIGNS[operator]
        if isinstance(limit, str):
            # By code point, as Python compares.
            text = f"(({value}) #>> '{{}}') COLLATE \"C\" {sign} {parameter(limit, 'text')}"
            return f"coalesce(jsonb_typeof({value}) = 'string' AND {text}, false)"
        number = f"({value}) {sign} {parameter(json.dumps(limit), 'jsonb')}"
        return f"coalesce(jsonb_typeof({value}) = 'number' AND {number}, false)"

    return ("true" if condition is None else sql(condition)), parameters


def _json(values: Sequence[Scalar]) -> list[str]:
    return [json.dumps(value) for value in values]
