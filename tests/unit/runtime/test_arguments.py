"""Whether arguments fit a schema; and that no schema, however it is made, costs more than it is worth."""

import time
from typing import Any

import pytest

from services.runtime.arguments import BadSchema, misfit


def doubling(levels: int) -> dict[str, Any]:
    """Each level asks for the next one twice."""
    made: dict[str, Any] = {f"d{level}": {"anyOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(levels)}
    return {"$defs": {**made, f"d{levels}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


DRAFT_7 = "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize(
    ("schema", "arguments", "wrong"),
    [
        ({}, {"a": 1}, ""),
        ({"properties": {"a": {"type": "integer"}}}, {"a": "x"}, "a: 'x' is not of type 'integer'"),
        ({"required": ["a"]}, {}, "'a' is a required property"),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1, "b": 2}, "'b' was unexpected"),
        ({"additionalProperties": {"type": "string"}}, {"b": 2}, "b: 2 is not of type 'string'"),
        ({"patternProperties": {"^s": {"type": "string"}}}, {"s1": 1}, "s1: 1 is not of type 'string'"),
        ({"patternProperties": {"^s": {}}, "additionalProperties": False}, {"s1": 1}, ""),
        ({"properties": {"a": {"pattern": "^[a-z]+$"}}}, {"a": "A"}, "a: 'A' does not match '^[a-z]+$'"),
        ({"properties": {"a": {"pattern": "b"}}}, {"a": "abc"}, ""),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, 1.0]}, "a: has items that are equal"),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, True, {"x": 1}, {"x": 2}]}, ""),
        ({"$defs": {"n": {"minimum": 3}}, "properties": {"a": {"$ref": "#/$defs/n"}}}, {"a": 1}, "a: 1 is less than"),
        ({"$schema": DRAFT_7, "properties": {"a": {"items": [{"type": "string"}]}}}, {"a": [1]}, "a.0: 1 is not of"),
    ],
)
async def test_what_is_wrong_is_said_and_where(schema: Any, arguments: Any, wrong: str) -> None:
    said = await misfit(schema, arguments)
    assert said.startswith(f"the arguments do not fit: {wrong}") if wrong else said == ""


@pytest.mark.parametrize("pattern", ["^(?=a)", r"(a)\1", "((a{1000}){1000}){1000}", "("])
async def test_a_pattern_that_cannot_be_matched_in_linear_time_is_left_to_the_tool(pattern: str) -> None:
    assert await misfit({"properties": {"a": {"pattern": pattern}}}, {"a": "x"}) == ""


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        doubling(40),
        {"$ref": "http://127.0.0.1:1/x"},
        {"type": 7},
        {"properties": {"a": 7}},
        {"anyOf": 3},
    ],
    ids=["circle", "doubling", "remote", "no type", "no schema", "no list"],
)
async def test_a_schema_that_cannot_be_checked_is_said_to_be_one(schema: Any) -> None:
    with pytest.raises(BadSchema):
        await misfit(schema, {"a": 1})


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 5000 + "b"}),
        ({"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}, {"a" * 5000 + "b": 1}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"x": number} for number in range(5000)]}),
    ],
    ids=["pattern", "names", "items"],
)
async def test_no_arguments_take_long(schema: Any, arguments: Any) -> None:
    began = time.process_time()
    await misfit(schema, arguments)
    assert time.process_time() - began < 5, "the ways of a backtracking matcher and of pairs take minutes"
