"""What the offline model reads out of a message for a tool's parameters."""

from datetime import date
from typing import Any

import pytest

from bureau_contracts.shapes import JsonObject
from services.runtime.models.model import ToolSpec
from services.runtime.models.offline.arguments import read_arguments
from services.runtime.models.offline.dates import periods

TODAY = date(2026, 11, 21)


def tool(properties: JsonObject, required: tuple[str, ...] = (), examples: tuple[str, ...] = ()) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return ToolSpec("make_report", "Make a report.", schema, examples=examples)


def optional(schema: JsonObject) -> JsonObject:
    return {"anyOf": [schema, {"type": "null"}], "default": None}


@pytest.mark.parametrize(
    ("text", "properties", "found"),
    [
        ("only the open ones", {"status": {"enum": ["open", "closed"]}}, {"status": "open"}),
        ("everything in progress", {"status": {"enum": ["in_progress", "done"]}}, {"status": "in_progress"}),
        ("all but not closed", {"status": {"enum": ["open", "closed"]}}, {}),
        ("open and closed", {"s": {"type": "array", "items": {"enum": ["open", "closed"]}}}, {"s": ["open", "closed"]}),
        ("Priority: High", {"p": optional({"enum": ["low", "high"]})}, {"p": "high"}),
        ("include archived ones", {"include_archived": {"type": "boolean"}}, {"include_archived": True}),
        ("without urgent ones", {"urgent": {"type": "boolean"}}, {"urgent": False}),
        ("the top 3", {"limit": {"type": "integer"}}, {"limit": 3}),
        ("the last five entries", {"limit": {"type": "integer"}}, {"limit": 5}),
        ("the top 3000", {"limit": {"type": "integer", "maximum": 50}}, {}),
        ("for 3 hours", {"hours": {"type": "number"}}, {"hours": 3}),
        ("a budget of 12.5", {"budget": {"type": "number"}}, {"budget": 12.5}),
        ("T-17 costs", {"limit": {"type": "integer"}}, {}),
        ("last month", {"month": {"type": "string"}}, {"month": "2026-10"}),
        ("in March", {"month": {"type": "string"}}, {"month": "2026-03"}),
        ("in December", {"month": {"type": "string"}}, {"month": "2025-12"}),
        ("in March 2024", {"month": {"type": "string"}}, {"month": "2024-03"}),
        ("you may march on", {"month": {"type": "string"}}, {}),
        ("since 2026-09-01", {"since": {"type": "string", "format": "date"}}, {"since": "2026-09-01"}),
        ("tomorrow", {"day": {"type": "string", "format": "date"}}, {"day": "2026-11-22"}),
        ("in 2025", {"year": {"type": "integer"}}, {"year": 2025}),
        ("last month", {"start": {"type": "string"}, "end": {"type": "string"}},
         {"start": "2026-10-01", "end": "2026-10-31"}),
        ("the last 7 days", {"since": {"type": "string", "format": "date-time"}}, {"since": "2026-11-14T00:00:00Z"}),
        ("show R12", {"room": {"type": "string", "pattern": "^R[0-9]+$"}}, {"room": "R12"}),
        ("show R12", {"room_id": {"type": "string", "examples": ["R7"]}}, {"room_id": "R12"}),
        ("show INV-2025-001", {"invoice_id": {"type": "string"}}, {"invoice_id": "INV-2025-001"}),
        ('note "call back"', {"text": {"type": "string"}}, {"text": "call back"}),
        ("region: eu-west", {"region": {"type": "string"}}, {}),
        ("a number", {"limit": {"type": "integer"}}, {}),
    ],
)  # fmt: skip
def test_a_parameter_is_read_from_the_text(text: str, properties: JsonObject, found: JsonObject) -> None:
    assert read_arguments(text, tool(properties), TODAY) == found


def test_the_only_text_that_is_needed_is_what_the_message_is_about() -> None:
    search = tool({"query": {"type": "string"}}, ("query",), ("find articles about vacations",))
    assert read_arguments("find articles about the parental leave", search, TODAY) == {"query": "the parental leave"}
    note = tool({"text": {"type": "string"}}, ("text",), ("take a note",))
    assert read_arguments("take a note: buy milk, and bread", note, TODAY) == {"text": "buy milk, and bread"}


def test_nothing_is_made_up_where_the_text_says_nothing() -> None:
    properties: JsonObject = {
        "ticket_id": {"type": "string"}, "status": {"enum": ["open"]}, "limit": {"type": "integer"},
        "month": {"type": "string"}, "urgent": {"type": "boolean"}, "text": optional({"type": "string"}),
    }  # fmt: skip
    assert read_arguments("make the report", tool(properties, ("ticket_id",)), TODAY) == {}


def test_references_to_definitions_are_followed() -> None:
    schema: JsonObject = {
        "type": "object", "properties": {"level": {"$ref": "#/$defs/Level"}},
        "$defs": {"Level": {"enum": ["low", "high"], "type": "string"}},
    }  # fmt: skip
    assert read_arguments("a high one", ToolSpec("t", "", schema), TODAY) == {"level": "high"}


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("today", "2026-11-21", "2026-11-21"),
        ("this week", "2026-11-16", "2026-11-22"),
        ("last quarter", "2026-07-01", "2026-09-30"),
        ("last year", "2025-01-01", "2025-12-31"),
        ("next month", "2026-12-01", "2026-12-31"),
        ("past three months", "2026-08-01", "2026-11-21"),
        ("two weeks ago", "2026-11-02", "2026-11-08"),
        ("the month before", "2026-10-01", "2026-10-31"),
        ("2026-02", "2026-02-01", "2026-02-28"),
    ],
)
def test_a_period_has_a_first_and_a_last_day(text: str, first: str, last: str) -> None:
    (period,) = periods(text, TODAY)
    assert (period.first.isoformat(), period.last.isoformat()) == (first, last)


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-02-31", "0000-01", "compare with last month", "grew more than last year"]
)
def test_what_is_no_period_or_only_compared_with_is_left_out(text: str) -> None:
    assert periods(text, TODAY) == []


def test_a_schema_of_any_shape_is_read_without_a_failure() -> None:
    shapes: list[Any] = [{}, {"type": ["string", "null"]}, {"anyOf": []}, {"$ref": "#/nowhere"}, {"enum": []}, True]
    for shape in shapes:
        read_arguments("show T-1 in March", tool({"thing": shape}), TODAY)
