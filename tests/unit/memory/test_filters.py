"""The language of metadata filters: what it means, and what it refuses."""

from typing import Any

import pytest

from services.memory.filters import BadFilter, matches, read

DATA = {
    "project": "atlas",
    "cost": {"total": 12.5, "list": [1, "two", None]},
    "done": False,
    "note": None,
    "a.b": "dotted",
    "count": 1,
}


@pytest.mark.parametrize(
    "condition",
    [
        {"eq": ["project", "atlas"]},
        {"ne": ["project", "zeus"]},
        {"ne": ["absent", 1]},
        {"eq": ["note", None]},
        {"eq": [["a.b"], "dotted"]},
        {"eq": ["count", 1.0]},
        {"ne": ["count", True]},
        {"ne": ["done", 0]},
        {"in": ["project", [3, "atlas"]]},
        {"gt": ["cost.total", 12]},
        {"gte": ["cost.total", 12.5]},
        {"lt": ["project", "b"]},
        {"lte": ["cost.total", 12.5]},
        {"contains": ["project", "tla"]},
        {"contains": ["cost.list", "two"]},
        {"contains": ["cost.list", None]},
        {"exists": "note"},
        {"not": {"exists": "absent.deeper"}},
        {"not": {"gt": ["project", 1]}},
        {"not": {"lt": ["project", 1]}},
        {"and": [{"eq": ["done", False]}, {"or": [{"eq": ["project", "x"]}, {"exists": "cost"}]}]},
    ],
    ids=str,
)
def test_these_hold(condition: Any) -> None:
    assert matches(read(condition), DATA)


@pytest.mark.parametrize(
    "condition",
    [
        {"eq": ["absent", None]},
        {"eq": ["done", 0]},
        {"eq": ["cost", "atlas"]},
        {"contains": ["cost.total", 1]},
        {"contains": ["count", 1]},
        {"eq": ["cost.list.0", 1]},
        {"gt": ["absent", 0]},
        {"gt": ["done", -1]},
        {"in": ["absent", [None]]},
        {"exists": "project.name"},
        {"and": [{"eq": ["project", "atlas"]}, {"eq": ["project", "zeus"]}]},
    ],
    ids=str,
)
def test_these_do_not(condition: Any) -> None:
    assert not matches(read(condition), DATA)


def nested(depth: int) -> Any:
    return {"exists": "a"} if depth == 1 else {"not": nested(depth - 1)}


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ([], "filter: "),
        ({}, "filter: "),
        ({"eq": ["a", 1], "ne": ["a", 1]}, "filter: "),
        ({"like": ["a", "b"]}, "filter.like: no such operator"),
        ({"and": []}, "filter.and: "),
        ({"and": [{"exists": "a"}, {"eq": ["a"]}]}, r"filter.and\[1\].eq: "),
        ({"eq": [["a", 1], 1]}, "filter.eq: a key"),
        ({"eq": ["", 1]}, "filter.eq: a key"),
        ({"eq": ["a", {"b": 1}]}, "filter.eq: values"),
        ({"eq": ["a", "x" * 1001]}, "filter.eq: a text"),
        ({"gt": ["a", True]}, "filter.gt: only numbers"),
        ({"gt": ["a", None]}, "filter.gt: only numbers"),
        ({"in": ["a", []]}, "filter.in: "),
        ({"in": ["a", list(range(101))]}, "filter.in: "),
        ({"or": [{"exists": "a"}] * 51}, "filter: at most 50"),
        (nested(9), "nested more than 8"),
        ({"not": [{"exists": "a"}]}, "filter.not: "),
    ],
)
def test_what_cannot_be_understood_is_refused_where_it_stands(written: Any, place: str) -> None:
    with pytest.raises(BadFilter, match=place):
        read(written)
