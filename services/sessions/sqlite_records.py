"""Sessions as the writer's thread left them in the SQLite file, so that a change need not read what it changes."""

import sqlite3

from services.sessions.record import SessionRecord

KEPT = 1024
"""Sessions; those that were changed last."""
LARGEST = 16_384
"""Characters of JSON in a session that is kept: state, context and the like. Memory has an end."""

_Place = tuple[str, str]


class WrittenRecords:
    """What the writer's connection would read, or nothing. Belongs to the writer's thread.

    Whatever changes the file otherwise empties it: another connection (`PRAGMA data_version`), another piece of work on
    this one (its count of changes), a transaction that came to nothing.
    """

    def __init__(self) -> None:
        self._records: dict[_Place, SessionRecord] = {}
        self._changes = self._data_version = -1

    def begun(self, connection: sqlite3.Connection) -> None:
        """A transaction that may write has begun: from here on nobody else writes."""
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._data_version:
            self._data_version = version
            self._records.clear()

    def undone(self) -> None:
        """Something that was written in a transaction is not in the file."""
        self._records.clear()

    def follow(self, connection: sqlite3.Connection) -> None:
        """To be called before anything is written whose changes are told with `wrote`."""
        if connection.total_changes != self._changes:
            self._records.clear()
            self._changes = connection.total_changes

    def wrote(self, connection: sqlite3.Connection) -> None:
        """Nothing that was written since `follow` changes what is kept, but for what is kept anew."""
        self._changes = connection.total_changes

    def find(self, tenant: str, session_id: str) -> SessionRecord | None:
        return self._records.get((tenant, session_id))

    def keep(self, record: SessionRecord, size: int | None) -> None:
        """As it was read or written in this transaction; `size` of its JSON in characters, None: what it was."""
        place = (record.session.tenant, record.session.session_id)
        known = self._records.pop(place, None)
        if known is None if size is None else size > LARGEST:
            return
        if len(self._records) >= KEPT:
            del self._records[next(iter(self._records))]
        self._records[place] = record

    def forget_all(self) -> None:
        self._records.clear()
