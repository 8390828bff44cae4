"""What a tool call may do. Shared by the registry, which knows it, and the runtime, which enforces it."""

from enum import StrEnum


class Risk(StrEnum):
    """What a tool call may do."""

    READ = "read"
    WRITE = "write"
    CRITICAL = "critical"
