"""The end of a session, as a cache keeps it, and the stamp that says of which moment it is. Pure values and the port.

Messages and invocations never change once they are stored, so a session's end is wholly determined by its stamp. A tail
is used for no other record than one of the same stamp that was just read from the database; so whatever a cache holds,
however old, nobody is shown anything that the database would not have shown.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from bureau_contracts.sessions import Invocation, Message
from services.sessions.record import SessionRecord

KEPT = 50
"""Messages, and invocations, in a tail; all there are when there are fewer."""
MAX_BYTES = 256 * 1024
"""A larger end of a session is not kept: moving it about would cost what reading it costs."""

_MESSAGES, _INVOCATIONS = TypeAdapter(list[Message]), TypeAdapter(list[Invocation])
SHAPE = hashlib.sha256(json.dumps([_MESSAGES.json_schema(), _INVOCATIONS.json_schema()]).encode()).hexdigest()[:8]
"""Of what a tail consists of, part of every stamp: code that knows other fields does not use this code's tails."""

T = TypeVar("T", Message, Invocation)


@dataclass(frozen=True, slots=True)
class Place:
    """Whose tail it is. Neither part can hold a colon."""

    tenant: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Tail:
    """The last messages and invocations, oldest first."""

    stamp: str
    messages: Sequence[Message]
    invocations: Sequence[Invocation]


@dataclass(frozen=True, slots=True)
class KeptTail:
    """A tail as a cache holds it: messages and invocations as lines of JSON."""

    stamp: str
    messages: Sequence[str]
    invocations: Sequence[str]
    too_large: bool = False
    """It is not kept, and only this is said: reading it into the cache would be in vain."""


class Tails(Protocol):
    """Promises: nothing is raised when the cache is away, and no answer takes much longer than its time-out, once.

    A newer tail is never replaced by an older one, and one that was forgotten is not put back by somebody slow.
    """

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def find(self, place: Place) -> KeptTail | None: ...

    async def keep(self, place: Place, tail: Tail) -> None:
        """Keeps the whole of a tail that was read from the database."""

    async def extend(self, place: Place, before: SessionRecord | None, after: Tail) -> None:
        """A change was committed: `after` has what it added. What was kept of `before` grows by it, else is dropped.

        `before` None: what the session showed until now is not the beginning of what it shows now.
        """

    async def forget(self, place: Place) -> None:
        """The session was erased. When the cache is away the removal is made up for as soon as it is back."""

    async def claim(self, place: Place, stamp: str) -> bool:
        """Whether the caller should read the session for the cache; False when that tail is there, or somebody is."""


def stamp_of(record: SessionRecord) -> str:
    """Grows with every message, invocation and rewind; of one width, so that text compares as its numbers do.

    `last_activity` is for a database that was restored from an old copy: other messages may bear the same numbers then.
    """
    session = record.session
    last = round(session.last_activity.timestamp() * 1_000_000)
    counts = f"{session.branch:08}.{session.message_count:012}.{record.invocation_count:012}"
    return f"{record.incarnation}.{counts}.{last:017}.{SHAPE}"


def last_stamp(incarnation: str) -> str:
    """Greater than every stamp of this incarnation and of all earlier ones."""
    return f"{incarnation}.{'9' * 8}.{'9' * 12}.{'9' * 12}.{'9' * 17}.{'z' * 8}"


def lines_of(things: Sequence[T]) -> str:
    """One line of JSON each; JSON has no raw line ends."""
    return "".join(f"{thing.model_dump_json()}\n" for thing in things)


def tail_of(kept: KeptTail, record: SessionRecord, *, messages: int, invocations: int) -> Tail | None:
    """So many of the last, or all there are; None when what is kept is not the end of exactly this record.

    What comes from another machine is looked at before it is believed: a tail is whole, and its numbers are right.
    """
    count = record.session.message_count
    if (
        kept.too_large
        or kept.stamp != stamp_of(record)
        or len(kept.messages) != min(count, KEPT)
        or len(kept.invocations) != min(record.invocation_count, KEPT)
    ):
        return None
    try:
        tail = Tail(
            kept.stamp,
            _MESSAGES.validate_json(_array(kept.messages[-messages:] if messages else ())),
            _INVOCATIONS.validate_json(_array(kept.invocations[-invocations:] if invocations else ())),
        )
    except ValidationError:
        return None
    seqs = [message.seq for message in tail.messages]
    return tail if seqs == list(range(count - len(seqs) + 1, count + 1)) else None


def _array(lines: Sequence[str]) -> str:
    return f"[{','.join(lines)}]"
