"""What a tool or an agent gave back, made fit to be sent, stored and shown: plain JSON, bounded in size and depth."""

import json
import math
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel

MAX_DEPTH = 24
"""Levels of nesting that are kept; the services read at most 64, and a result travels inside other documents."""
_CUT = "… [cut]"


def storable_text(text: str, limit: int) -> str:
    """Without what no store keeps (NUL, lone surrogates), and cut at `limit` characters."""
    if len(text) > limit:
        text = text[: max(0, limit - len(_CUT))] + _CUT
    if "\x00" in text or not text.isascii():
        text = "".join(c for c in text if c != "\x00" and not "\ud800" <= c <= "\udfff")
    return text


def storable_result(value: Any, limit: int) -> Any:
    """As JSON of at most about `limit` characters. A list loses rows at its end, and says how many; anything else that
    is too long becomes a text that was cut."""
    return fitting(value, limit)[0]


def fitting(value: Any, limit: int) -> tuple[Any, bool]:
    """The same, and whether it had to be cut."""
    plain = _plain(value, 0)
    written = _written(plain)
    if len(written) <= limit:
        return plain, False
    if isinstance(plain, list):
        kept = _fitting(plain, limit)
        if kept:
            return {"rows": plain[:kept], "cut": f"the first {kept} of {len(plain)}"}, True
    return storable_text(written, limit), True


def _fitting(rows: list[Any], limit: int) -> int:
    size = 0
    for number, row in enumerate(rows):
        size += len(_written(row)) + 2
        if size > limit:
            return number
    return len(rows)


def _written(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False)


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, depth)
    if isinstance(value, int):
        # Larger ones lose digits in every reader that keeps numbers as floats.
        return int(value) if -(2**53) <= value <= 2**53 else str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return storable_text(value, 1_000_000)
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if depth >= MAX_DEPTH:
        return _CUT
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="python"), depth)
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({each.name: getattr(value, each.name) for each in fields(value)}, depth)
    if isinstance(value, dict):
        return {storable_text(str(key), 1000): _plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each, depth + 1) for each in value]
    return storable_text(repr(value), 1000)
