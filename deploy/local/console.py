"""What the person at the terminal sees: the launcher's own words, and every process's log lines behind its name."""

import contextlib
import json
import sys
from typing import IO

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92)
_RED = 31
# Shown in their own places, or only in the files.
_HIDDEN = {"timestamp", "level", "event", "service", "logger", "span_id"}


class Console:
    """`raw` shows log lines as they were written; otherwise JSON lines become short human ones."""

    def __init__(self, names: list[str], *, colour: bool = True, raw: bool = False, out: IO[str] | None = None) -> None:
        self._out = out or sys.stdout
        self._colour = colour and self._out.isatty()
        self._raw = raw
        self._width = max(map(len, names), default=0)
        self._codes = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}

    def say(self, text: str) -> None:
        self._write(text)

    def complain(self, text: str) -> None:
        self._write(self._paint(text, _RED))

    def log_line(self, name: str, line: str) -> None:
        text = line if self._raw else readable(line)
        self._write(f"{self._paint(f'{name:{self._width}} |', self._codes.get(name, 0))} {text}")

    def _paint(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone; the files have everything
            print(text, file=self._out, flush=True)


def readable(line: str) -> str:
    """A JSON log line as `12:00:01 info agent_registered agent=tickets`; any other line as it is."""
    if not line.startswith("{"):
        return line
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    values = " ".join(f"{name}={value}" for name, value in fields.items() if name not in _HIDDEN)
    time = str(fields.get("timestamp", ""))[11:19]
    return f"{time} {fields.get('level', ''):5} {fields.get('event', '')} {values}".strip()
