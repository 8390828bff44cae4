"""Cursors: where the next page begins, as an opaque string that a caller hands back."""

import base64
import binascii
import json

from kit.errors import Invalid


def encode_cursor(*position: str | int | float) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> list[str | int | float]:
    """The position that `encode_cursor` was given. Raises Invalid when the cursor is not one of ours."""
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        position = None
    if not isinstance(position, list) or [type(part) for part in position] != list(kinds):
        raise Invalid("cursor: not one that this list gave out", code="invalid_cursor")
    if any(isinstance(part, str) and not _storable(part) for part in position):
        raise Invalid("cursor: not one that this list gave out", code="invalid_cursor")
    return position


def _storable(text: str) -> bool:
    """A cursor that somebody made up may hold what no store can look for: NUL, or half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
