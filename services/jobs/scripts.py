"""The Lua scripts of `lua/`, each behind what they share and the tables that Python gives it. Runs nothing itself."""

from pathlib import Path
from typing import Any

from services.jobs.limits import SCOPES, Limit, Limits
from services.jobs.schedule_store import MOST_WAITING, RECENT
from services.jobs.states import FINAL, HELD, ON_THE_CLOCK, TABLE
from services.jobs.store import MOST_CHILDREN, MOST_GENERATIONS, Bounds

PREFIX = "jobs:{0}:"
"""Of every key of partition 0, the only one there is yet. The braces make a Redis Cluster keep it in one slot."""

_FOLDER = Path(__file__).parent / "lua"
_SHARED = ("job", "queue", "move", "advance", "children", "schedules")
"""In this order: each stands on those before it."""


class Scripts:
    """Every script's text, by its name."""

    def __init__(self, bounds: Bounds) -> None:
        shared = _header(bounds) + "".join((_FOLDER / "shared" / f"{name}.lua").read_text() for name in _SHARED)
        self._texts = {path.stem: shared + path.read_text() for path in _FOLDER.glob("*.lua")}

    def __getitem__(self, name: str) -> str:
        return self._texts[name]


def _header(bounds: Bounds) -> str:
    allowed = [
        f" {action}:{source or 'new'}>{target} "
        for action, sources in TABLE.items()
        for source, targets in sources.items()
        for target in sorted(targets)
    ]
    constants = {
        "ALLOWED": "".join(allowed),
        "FINAL": dict.fromkeys(FINAL, True),
        "HELD": dict.fromkeys(HELD, True),
        "ON_THE_CLOCK": dict.fromkeys(ON_THE_CLOCK, True),
        "LIMITS": _limits(bounds.limits),
        "QUEUES": dict(enumerate(bounds.queues, 1)),
        "LEASE_MS": round(bounds.lease_seconds * 1000),
        "MAX_LOSSES": bounds.max_losses,
        "MAX_RESULT": bounds.max_result_bytes,
        "RETENTION_MS": round(bounds.retention_seconds * 1000),
        "EVENTS_KEPT": bounds.events_kept,
        "MOST_CHILDREN": MOST_CHILDREN,
        "MOST_GENERATIONS": MOST_GENERATIONS,
        "MOST_WAITING": MOST_WAITING,
        "SCHEDULE_RECENT": RECENT,
    }
    return "".join(f"local {name} = {_lua(value)}\n" for name, value in constants.items())


def _limits(limits: Limits) -> dict[str, Any]:
    return {scope: {name: _limit(each) for name, each in limits.rules.get(scope, {}).items()} for scope in SCOPES}


def _limit(limit: Limit) -> dict[str, int]:
    count, seconds = limit.rate or (None, 0)
    found = {
        "concurrency": limit.concurrency, "depth": limit.depth,
        "rate_count": count, "rate_ms": seconds * 1000 if count else None,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _lua(value: object) -> str:
    """A Lua literal of what the tables above are made of: tables, texts, numbers, true."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{_lua(key)}] = {_lua(child)}" for key, child in sorted(value.items())) + "}"
    if isinstance(value, str):
        return "'" + "".join(f"\\{byte:03d}" for byte in value.encode()) + "'"
    return "true" if value is True else str(value)
