"""Rows of Postgres as memories."""

import json
from collections.abc import Mapping
from typing import Any

from bureau_contracts.memory import Memory, MemoryVersion


def memory_of(row: Mapping[str, Any]) -> Memory:
    """Of a row that has `statements.MEMORY`."""
    return Memory.model_validate({**row, "metadata": json.loads(row["metadata"])})


def version_of(row: Mapping[str, Any]) -> MemoryVersion:
    return MemoryVersion.model_validate({**row, "metadata": json.loads(row["metadata"])})
