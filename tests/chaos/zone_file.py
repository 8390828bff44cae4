"""A time zone of one's own, whose clocks change when a test wants them to (RFC 9636, version 2)."""

import struct
from pathlib import Path

DAY = 86_400


def offset_that_makes(moment: int, clock: int) -> int:
    """Seconds east of Greenwich, at most half a day, with which it is `clock` (seconds since midnight) at `moment`."""
    offset = (clock - moment) % DAY
    return offset - DAY if offset > DAY // 2 else offset


def write_zone(file: Path, moment: int, before: int, after: int) -> None:
    """At `moment`, seconds since 1970, the offset changes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # What held before the first change is left to the reader: so it comes long ago, and changes nothing.
    changes, types, names = [0, moment], [0, 1], b"OLD\0NEW\0"
    offsets = struct.pack(">lBB", before, 0, 0) + struct.pack(">lBB", after, 0, 4)
    data = b"".join(struct.pack(">q", at) for at in changes) + bytes(types) + offsets + names
    # The first part is for readers of 32-bit times; there are none.
    file.write_bytes(
        _head(0, 1, 1) + struct.pack(">lBB", before, 0, 0) + b"\0" + _head(2, 2, len(names)) + data + b"\n\n"
    )


def _head(changes: int, types: int, letters: int) -> bytes:
    return b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, changes, types, letters)
