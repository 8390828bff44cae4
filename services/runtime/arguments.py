"""Whether a call's arguments fit its tool's schema. Trusts neither: the schema may come from a server that is not ours.

Nothing is fetched for a `$ref`, references are counted, items are compared in one pass, and patterns are matched in
linear time: by pydantic's regular expressions, which know no look-around and no back-references. A pattern with those,
and `unevaluatedProperties`, are left to the tool.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend, validator_for
from pydantic_core import SchemaError, SchemaValidator, core_schema
from pydantic_core import ValidationError as NoMatch
from referencing import Registry

from bureau_contracts.shapes import JsonObject

Check = Callable[[Any, Any, Any, Any], Iterable[ValidationError]]
"""Of one keyword, as jsonschema has it: validator, the keyword's value, the instance, the schema around."""

MOST_REFERENCES = 10_000
"""That one check follows: a few lines of schema can refer to themselves without end, or doubly."""
MOST_CHARS = 500
"""Of what is said of a misfit."""


class BadSchema(Exception):
    """The tool's parameters are no schema that can be checked. The message says why."""


async def misfit(schema: JsonObject, arguments: JsonObject) -> str:
    """What is wrong with the arguments, "" for nothing, in words for whoever wrote them. Raises BadSchema.

    In a thread: large arguments take their time.
    """
    return await asyncio.to_thread(_misfit, schema, arguments)


def _misfit(schema: JsonObject, arguments: JsonObject) -> str:
    try:
        errors = _validator(schema)(schema, registry=Registry()).iter_errors(arguments)
        worst: ValidationError | None = best_match(errors)
    except BadSchema:
        raise
    except RecursionError:
        raise BadSchema("it refers to itself without end") from None
    except Exception as error:  # noqa: BLE001 - what a wrong schema raises is of many kinds
        raise BadSchema(type(error).__name__) from None
    if worst is None:
        return ""
    place = ".".join(str(part) for part in worst.absolute_path)
    return f"the arguments do not fit: {f'{place}: ' if place else ''}{worst.message[:MOST_CHARS]}"


def _validator(schema: JsonObject) -> Any:
    """Of the draft that the schema names. For one check: it counts."""
    base: Any = validator_for(schema, default=Draft202012Validator)
    followed = 0

    def counted(keyword: str) -> Check:
        follow: Check = base.VALIDATORS[keyword]

        def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterable[ValidationError]:
            nonlocal followed
            followed += 1
            if followed > MOST_REFERENCES:
                raise BadSchema(f"it takes more than {MOST_REFERENCES} references to check")
            return follow(validator, value, instance, schema) or ()

        return check

    references = {"$ref", "$dynamicRef", "$recursiveRef"} & set(base.VALIDATORS)
    ours = {keyword: check for keyword, check in _OURS.items() if keyword in base.VALIDATORS}
    make: Any = extend
    return make(base, {**{keyword: counted(keyword) for keyword in references}, **ours})


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterable[ValidationError]:
    if isinstance(instance, str) and _matches(str(pattern), instance) is False:
        yield ValidationError(f"{instance[:100]!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, properties: Any, instance: Any, schema: Any) -> Iterable[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in properties.items():
        for name, value in instance.items():
            if _matches(pattern, name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, subschema: Any, instance: Any, schema: Any) -> Iterable[ValidationError]:
    if not isinstance(instance, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extra = [name for name in instance if name not in named and not any(_matches(each, name) for each in patterns)]
    if subschema is False and extra:
        names = ", ".join(repr(name[:100]) for name in extra[:10])
        yield ValidationError(f"{names} {'was' if len(extra) == 1 else 'were'} unexpected")
    elif isinstance(subschema, dict):
        for name in extra:
            yield from validator.descend(instance[name], subschema, path=name)


def _unique_items(validator: Any, unique: Any, instance: Any, schema: Any) -> Iterable[ValidationError]:
    if unique and isinstance(instance, list) and len({_canonical(item) for item in instance}) < len(instance):
        yield ValidationError("has items that are equal")


def _left_to_the_tool(validator: Any, value: Any, instance: Any, schema: Any) -> Iterable[ValidationError]:
    return ()


_OURS: dict[str, Check] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
    "unevaluatedProperties": _left_to_the_tool,
}


def _canonical(item: Any) -> str:
    """The same text for equal items: 1 and 1.0 are, true is neither."""
    return json.dumps(_plain(item), sort_keys=True)


def _plain(item: Any) -> Any:
    if isinstance(item, float) and item.is_integer():
        return int(item)
    if isinstance(item, list):
        return [_plain(each) for each in item]
    return {name: _plain(each) for name, each in item.items()} if isinstance(item, dict) else item


def _matches(pattern: str, text: str) -> bool | None:
    """None when this pattern cannot be matched here."""
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).validate_python(text)
    except SchemaError:
        return None
    except NoMatch:
        return False
    return True
