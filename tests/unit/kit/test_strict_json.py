"""What is read as JSON, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import BadRequest
from kit.strict_json import MAX_DEPTH, loads

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda children: st.lists(children) | st.dictionaries(TEXT, children),
    max_leaves=20,
)


@given(VALUES)
def test_what_json_can_say_comes_back(value: object) -> None:
    assert loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nul", b'{"a": 1, "a": 2}', b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b'"\xff"',
        b'"\\u0000"', b'{"\\u0000": 1}', b'"\\ud800"', b'["\\udfff"]', b"1 2", b"9" * 5000, b"[" * 100_000, b"'a'",
        b'{"a": {"b": 1, "b": 1}}', b"\xef\xbb\xbf{}",
    ],
)  # fmt: skip
def test_what_parsers_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        loads(body)
    assert refused.value.code == "malformed_json"


def test_nesting_is_bounded() -> None:
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
    with pytest.raises(BadRequest):
        loads(b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2))


def test_many_brackets_side_by_side_are_no_nesting() -> None:
    assert len(loads(json.dumps([[]] * 1000).encode())) == 1000
