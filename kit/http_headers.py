"""Whether headers that come from a record and a secret can be sent as they are."""

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


def bad_header(headers: Mapping[str, str]) -> str:
    """What is wrong with them, "" for nothing. Says no value: those are secrets."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            return f"headers: {name!r} is not the name of a header"
        if not _VALUE.fullmatch(value):
            return f"headers: the value of {name!r} cannot stand in a header"
    return ""
