"""The Lua of `lua/` as one library of functions, which Redis and Valkey load once and keep. Runs nothing itself.

A script would build all that it shares anew with every call, which takes longer than most of them run.
"""

import hashlib
from pathlib import Path
from typing import Any

from services.jobs.limits import SCOPES, Limit, Limits
from services.jobs.redis_records import RECORD
from services.jobs.schedule_store import MOST_WAITING, RECENT
from services.jobs.states import FINAL, HELD, ON_THE_CLOCK, TABLE
from services.jobs.store import MOST_CHILDREN, MOST_EDITED, MOST_GENERATIONS, Bounds

PREFIX = "jobs:{0}:"
"""Of every key of partition 0, the only one there is yet. The braces make a Redis Cluster keep it in one slot."""

RECOUNT_SECONDS = 50
"""How often what is counted for limits is counted anew."""

ADDING = frozenset({"start", "schedule_add", "schedule_change", "schedule_run", "schedule_fire"})
"""Functions that Redis refuses when it has no memory left."""

_FOLDER = Path(__file__).parent / "lua"
_SHARED = ("job", "queue", "move", "advance", "children", "schedules", "calls")
"""In this order: each stands on those before it."""


class Library:
    """Libraries of other versions and settings have other names, so that all can be there at once. One that nobody uses
    any more (`FUNCTION LIST LIBRARYNAME bureau_jobs_*`) may be deleted; whoever needs it loads it again."""

    def __init__(self, bounds: Bounds) -> None:
        body = _body(bounds)
        self.name = f"bureau_jobs_{hashlib.sha256(body.encode()).hexdigest()[:12]}"
        self.text = f"#!lua name={self.name}\nlocal NAME = '{self.name}'\n{body}"

    def function(self, name: str) -> str:
        """Of `lua/<name>.lua`, as FCALL wants it."""
        return f"{self.name}_{name}"


def _body(bounds: Bounds) -> str:
    shared = "".join((_FOLDER / "shared" / f"{name}.lua").read_text() for name in _SHARED)
    functions = "".join(
        f"register('{path.stem}', function(ARGV)\n{path.read_text()}end, {_lua(path.stem in ADDING)})\n"
        for path in sorted(_FOLDER.glob("*.lua"))
    )
    return _header(bounds) + shared + functions


def _header(bounds: Bounds) -> str:
    allowed = {
        action: {source or "new": dict.fromkeys(targets, True) for source, targets in sources.items()}
        for action, sources in TABLE.items()
    }
    constants = {
        "PREFIX": PREFIX,
        "ALLOWED": allowed,
        "FINAL": dict.fromkeys(FINAL, True),
        "HELD": dict.fromkeys(HELD, True),
        "ON_THE_CLOCK": dict.fromkeys(ON_THE_CLOCK, True),
        "LIMITS": _limits(bounds.limits),
        "MAY_BE_FULL": _may_be_full(bounds.limits),
        "RECORD": dict(enumerate(RECORD, 1)),
        "QUEUES": dict(enumerate(bounds.queues, 1)),
        "LEASE_MS": round(bounds.lease_seconds * 1000),
        "MAX_LOSSES": bounds.max_losses,
        "MAX_RESULT": bounds.max_result_bytes,
        "RETENTION_MS": round(bounds.retention_seconds * 1000),
        "EVENTS_KEPT": bounds.events_kept,
        "RECOUNT_MS": round(RECOUNT_SECONDS * 1000),
        "MOST_CHILDREN": MOST_CHILDREN,
        "MOST_EDITED": MOST_EDITED,
        "MOST_GENERATIONS": MOST_GENERATIONS,
        "MOST_WAITING": MOST_WAITING,
        "SCHEDULE_RECENT": RECENT,
    }
    return "".join(f"local {name} = {_lua(value)}\n" for name, value in constants.items())


def _may_be_full(limits: Limits) -> bool:
    """Whether a job that ends may let another one begin."""
    return any(limit.concurrency is not None for rules in limits.rules.values() for limit in rules.values())


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
    """A Lua literal of what the tables above are made of: tables, texts, numbers, truths."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{_lua(key)}] = {_lua(child)}" for key, child in sorted(value.items())) + "}"
    if isinstance(value, str):
        return "'" + "".join(f"\\{byte:03d}" for byte in value.encode()) + "'"
    return str(value).lower() if isinstance(value, bool) else str(value)
