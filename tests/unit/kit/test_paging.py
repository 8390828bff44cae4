"""Cursors: handed back as they were given out, or refused."""

import base64

import pytest

from kit.errors import Invalid
from kit.paging import decode_cursor, encode_cursor


def test_a_cursor_comes_back_as_it_was() -> None:
    assert decode_cursor(encode_cursor("tickets", 7, 1.5), str, int, float) == ["tickets", 7, 1.5]


def made_up(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "é", "[]", made_up("{}"), made_up("[]"), made_up('["a", 1]'), made_up("[1]"), made_up("[null]"),
     made_up('["\\u0000"]'), made_up('["\\ud800"]'), made_up("[" * 5000), made_up("[true]")],
)  # fmt: skip
def test_what_no_list_gave_out_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode_cursor(cursor, str)
    assert refused.value.code == "invalid_cursor"
