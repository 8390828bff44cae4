"""JSON bodies, read strictly: what one parser would read differently from another is refused."""

import json
import math
from collections import Counter
from typing import Any

from kit.errors import BadRequest

MAX_DEPTH = 64
"""Levels of nesting. Deep documents are an attack on whoever reads them recursively."""


def loads(body: bytes) -> Any:
    """The value of a UTF-8 JSON document.

    Raises BadRequest for what is not JSON, duplicate keys, NaN and infinities, numbers out of range, NUL characters
    and lone surrogates (no store can keep those), and nesting over MAX_DEPTH.
    """
    try:
        text = body.decode()
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_no_duplicates)
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8", code="malformed_json") from error
    except RecursionError as error:
        raise BadRequest(f"the body nests deeper than {MAX_DEPTH} levels", code="malformed_json") from error
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}", code="malformed_json") from error
    if _nesting_bound(body) > MAX_DEPTH:
        _check_depth(value, MAX_DEPTH)
    if b"\\u" in body or b"\x00" in body:
        _check_text(value)
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is out of range")
    return number


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        double = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"duplicate key {double[:40]!r}")
    return result


def _nesting_bound(body: bytes) -> int:
    """An upper bound of the nesting, cheap enough for every request."""
    return body.count(b"{") + body.count(b"[")


def _check_depth(value: Any, left: int) -> None:
    if left < 0:
        raise BadRequest(f"the body nests deeper than {MAX_DEPTH} levels", code="malformed_json")
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(child, dict | list):
            _check_depth(child, left - 1)


def _check_text(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise BadRequest(
                "the body has a character that cannot be stored (NUL or a lone surrogate)", code="malformed_json"
            )
    elif isinstance(value, dict):
        for key, child in value.items():
            _check_text(key)
            _check_text(child)
    elif isinstance(value, list):
        for child in value:
            _check_text(child)
