"""Identifiers: a prefix that says what it is, and a UUIDv7, so that they sort by time of creation."""

from uuid_utils import uuid7


def new_id(prefix: str) -> str:
    """``new_id("sess")`` gives ``sess-0199…``: the prefix, a dash, 32 hexadecimal digits."""
    return f"{prefix}-{uuid7().hex}"
