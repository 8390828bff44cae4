"""What strict JSON can carry. ADK's values may hold NUL or half a surrogate pair, or nest without end."""

import math
import re
from typing import Any

DEEPEST = 40
"""Levels of nesting; a body of Bureau may have some more."""

_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(value: Any, left: int = DEEPEST) -> bool:
    match value:
        case str():
            return _NOT_STORABLE.search(value) is None
        case float():
            return math.isfinite(value)
        case dict():
            return left > 0 and all(is_storable(key) and is_storable(each, left - 1) for key, each in value.items())
        case list():
            return left > 0 and all(is_storable(each, left - 1) for each in value)
    return True


def storable(value: Any, left: int = DEEPEST) -> Any:
    """The same, or what a reader makes most of: U+FFFD for a character, None for a number, "…" for what is too deep."""
    match value:
        case str():
            return storable_text(value)
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {storable_text(key): storable(each, left - 1) for key, each in value.items()} if left > 0 else "…"
        case list():
            return [storable(each, left - 1) for each in value] if left > 0 else "…"
    return value


def storable_text(text: str) -> str:
    return _NOT_STORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
