"""The Lua scripts of `lua/`, each behind what they share and the tables that Python gives it. Runs nothing itself."""

from pathlib import Path

from services.jobs.schedule_store import MOST_WAITING, RECENT
from services.jobs.states import FINAL, HELD, TABLE
from services.jobs.store import Bounds

PREFIX = "jobs:{0}:"
"""Of every key of partition 0, the only one there is yet. The braces make a Redis Cluster keep it in one slot."""
READY = f"{PREFIX}ready"
GROUP = "workers"
CONSUMER = "any"
"""One consumer stands for all workers: leases are per message, and nobody has to clean up after a dead consumer."""

_FOLDER = Path(__file__).parent / "lua"
_SHARED = ("prelude", "schedules")


class Scripts:
    """Every script's text, by its name."""

    def __init__(self, bounds: Bounds) -> None:
        shared = _header(bounds) + "".join((_FOLDER / f"{name}.lua").read_text() for name in _SHARED)
        self._texts = {
            path.stem: shared + path.read_text() for path in _FOLDER.glob("*.lua") if path.stem not in _SHARED
        }

    def __getitem__(self, name: str) -> str:
        return self._texts[name]


def _header(bounds: Bounds) -> str:
    allowed = {
        action: {source or "new": dict.fromkeys(targets, True) for source, targets in sources.items()}
        for action, sources in TABLE.items()
    }
    constants = {
        "ALLOWED": allowed,
        "FINAL": dict.fromkeys(FINAL, True),
        "HELD": dict.fromkeys(HELD, True),
        "LEASE_MS": round(bounds.lease_seconds * 1000),
        "MAX_LOSSES": bounds.max_losses,
        "RETENTION_MS": round(bounds.retention_seconds * 1000),
        "EVENTS_KEPT": bounds.events_kept,
        "MOST_WAITING": MOST_WAITING,
        "SCHEDULE_RECENT": RECENT,
    }
    return "".join(f"local {name} = {_lua(value)}\n" for name, value in constants.items())


def _lua(value: object) -> str:
    """A Lua literal of what the tables above are made of: names, numbers, true."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_lua(child)}" for key, child in sorted(value.items())) + "}"
    return "true" if value is True else str(value)
