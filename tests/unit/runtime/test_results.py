"""What tools give back is made fit to be sent and stored."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from kit import strict_json
from services.runtime.results import storable_result, storable_text


class Model(BaseModel):
    when: date


@dataclass
class Data:
    amount: Decimal


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None), (True, True), (3, 3), (2.5, 2.5), ("text", "text"), ([1, (2, 3)], [1, [2, 3]]),
        ({1: "a"}, {"1": "a"}), (float("nan"), None), (float("inf"), None), (2**70, str(2**70)),
        ("a\x00b", "ab"), ("a\ud800b", "ab"), ({"k\x00": "v"}, {"k": "v"}),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"), (Decimal("1.5"), 1.5),
        (Model(when=date(2026, 1, 2)), {"when": "2026-01-02"}), (Data(Decimal("NaN")), {"amount": None}),
    ],
)  # fmt: skip
def test_any_value_becomes_json_that_the_services_read(value: Any, stored: Any) -> None:
    result = storable_result(value, 1000)
    assert result == stored
    assert strict_json.loads(json.dumps({"r": result}).encode()) == {"r": stored}


def test_an_object_of_no_known_kind_becomes_a_text() -> None:
    assert isinstance(storable_result(object(), 1000), str)


def test_a_list_that_is_too_long_loses_rows_and_says_so() -> None:
    result = storable_result([{"n": n} for n in range(1000)], 200)
    assert result["cut"] == f"the first {len(result['rows'])} of 1000"
    assert len(json.dumps(result)) < 300


def test_anything_else_that_is_too_long_becomes_a_text_that_was_cut() -> None:
    assert storable_result({"text": "x" * 1000}, 100) == storable_text(json.dumps({"text": "x" * 1000}), 100)
    assert storable_result("x" * 1000, 100).endswith("… [cut]")
    assert len(storable_result("x" * 1000, 100)) == 100


def test_a_value_that_nests_deeper_than_the_services_read_is_cut_off() -> None:
    value: Any = "bottom"
    for _ in range(500):
        value = [value]
    strict_json.loads(json.dumps(storable_result(value, 100_000)).encode())
