"""When a conversation is summarised: what is covered, what stays as it is, and whether a summary still holds. No I/O.

A summary covers the messages 1 … last_seq of what a session shows, and stands for them in a model's context; the
messages themselves stay. Where its last message stands (session, branch, seq) says exactly which messages those are:
branches only grow, and what comes before a place never changes. So a summary applies to every session that shows that
place, a fork for one, and to none that went back behind it.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, takewhile

from bureau_contracts.sessions import Message, Role
from services.sessions.branches import Shown, shown_by
from services.sessions.record import Current, SessionRecord, StoredSummary, SummaryPlace, Write
from services.sessions.statuses import require_writable
from services.sessions.summariser import Summarised
from services.sessions.tokens import estimated_tokens, message_tokens, tokens_of

PIECE_TOKENS = 8000
"""How much is summarised at once, so that a small model can read it."""
SUMMARY_SHARE, VERBATIM_SHARE = 0.45, 0.4
"""Of the limit. What is left over is for what is said next: not every turn should have to summarise anew."""
SHRUNK = 0.9
"""The most that a summary may be of what it replaces; else it is not worth having."""


@dataclass(frozen=True, slots=True)
class Limit:
    max_tokens: int
    keep_last: int | None = None
    """So many messages stay as they are, whatever their size; None: as many as fit into their share."""


def place_of(shown: Shown, seq: int) -> SummaryPlace | None:
    """Where the message stands. None when there is no such message."""
    for stretch in shown.stretches(seq - 1, seq + 1):
        return SummaryPlace(stretch.session_id, stretch.branch, seq)
    return None


def borders(messages: Sequence[Message]) -> list[int]:
    """After how many messages they can be parted without a tool's result losing its call, ascending.

    A call without a result keeps with it what follows, for the result may still come, until the user speaks again.
    """
    needed, waiting = list(range(len(messages))), dict[str, int]()
    """Up to which message each one needs the others; which calls wait for their result."""
    for index, message in enumerate(messages):
        waiting.update((call.call_id, index) for call in message.tool_calls)
        for result in message.tool_results:
            called = waiting.pop(result.call_id, index)
            needed[called] = max(needed[called], index)
    spoken = [index for index, message in enumerate(messages) if message.role is Role.USER]
    for called in waiting.values():
        needed[called] = max(needed[called], next((each - 1 for each in spoken if each > called), len(messages)))
    return [border for border, last in enumerate(accumulate(needed, max), start=1) if last < border]


def next_covered(messages: Sequence[Message], following: int, summary_tokens: int, limit: Limit) -> int:
    """How many of these messages, which come behind a summary, are to be summarised next; 0: none.

    `following`: so many more come after them; then these alone are over the limit by PIECE_TOKENS. A few at a time:
    PIECE_TOKENS at most, unless what belongs together is larger.
    """
    sizes = [message_tokens(message) for message in messages]
    if not following and summary_tokens + sum(sizes) <= limit.max_tokens:
        return 0
    if limit.keep_last is not None:
        verbatim = limit.keep_last
    else:
        verbatim = 0 if following else _last_that_fit(reversed(sizes), limit.max_tokens * VERBATIM_SHARE)
    most = len(messages) + following - verbatim
    parting = borders(messages)
    if limit.keep_last is None and not following:
        # What belongs together is covered rather than kept, so that what is kept fits.
        most = next((border for border in parting if border >= most), most)
    possible = [border for border in parting if border <= most]
    reached = list(accumulate(sizes))
    fitting = [border for border in possible if reached[border - 1] <= PIECE_TOKENS]
    return (fitting or possible[:1] or [0])[-1]


def shown_from(messages: Sequence[Message], tokens: float, *, all_here: bool) -> int:
    """From which of these messages on they fit into so many tokens, with no tool's result whose call is left out.

    `all_here`: nothing that is not summarised comes before them.
    """
    fitting = len(messages) - _last_that_fit(map(message_tokens, reversed(messages)), tokens)
    called = {call.call_id for message in messages for call in message.tool_calls}
    halves = [
        index
        for index, message in enumerate(messages)
        if any(result.call_id not in called for result in message.tool_results)
    ]
    first = 0 if all_here or not halves else halves[-1] + 1
    whole = {0, len(messages), *borders(messages)}
    return next(index for index in range(max(fitting, first), len(messages) + 1) if index in whole)


def summary_budget(material_tokens: int, limit: Limit) -> int:
    """How many tokens a summary may have."""
    return int(min(limit.max_tokens * SUMMARY_SHARE, material_tokens * SHRUNK))


def material_tokens(before: StoredSummary | None, messages: Sequence[Message]) -> int:
    """What a new summary replaces in a model's context."""
    return (before.tokens_after if before else 0) + tokens_of(messages)


def digest_of(messages: Sequence[Message], before: str = "") -> str:
    """Of what a summary covers: of these messages, upon the digest of what the summary before them covers."""
    digest = hashlib.sha256(before.encode())
    for message in messages:
        said = message.model_dump(
            mode="json", include={"seq", "message_id", "role", "content", "tool_calls", "tool_results"}
        )
        digest.update(json.dumps(said, sort_keys=True).encode())
    return digest.hexdigest()


def holds(summary: StoredSummary, messages: Sequence[Message]) -> bool:
    """Whether it covers these messages, which are those behind the summary that it was built on."""
    return digest_of(messages, summary.built_on_digest) == summary.digest


def made_summary(
    record: SessionRecord, before: StoredSummary | None, messages: Sequence[Message], made: Summarised, now: datetime
) -> StoredSummary:
    """Of `messages`, which come right behind what `before` covers."""
    place = place_of(shown_by(record), messages[-1].seq)
    assert place is not None
    return StoredSummary(
        place=place,
        digest=digest_of(messages, before.digest if before else ""),
        built_on_seq=before.place.last_seq if before else 0,
        built_on_digest=before.digest if before else "",
        text=made.text,
        made_by=made.made_by,
        tokens_before=(before.tokens_before if before else 0) + tokens_of(messages),
        tokens_after=estimated_tokens(made.text),
        created_at=now,
    )


def store_summary(
    current: Current, seen: SessionRecord, before: StoredSummary | None, made: StoredSummary
) -> tuple[bool, Write | None]:
    """Stores it if the session still shows what it covers, and no other was stored since `seen` and `before` were read.

    False: it was not, and nothing is changed. Raises SessionArchived.
    """
    require_writable(current.record.session)
    stands = (
        current.record.incarnation == seen.incarnation
        and place_of(shown_by(current.record), made.place.last_seq) == made.place
        and _same(current.summary, before)
    )
    return stands, Write(current.record, summary=made) if stands else None


def discard_summary(current: Current, stale: StoredSummary) -> tuple[None, Write | None]:
    """For a summary that does not hold what it says it covers. One that was replaced since is left alone."""
    return None, Write(current.record, discarded=stale.place) if _same(current.summary, stale) else None


def _same(one: StoredSummary | None, other: StoredSummary | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.place, one.digest, one.created_at) == (other.place, other.digest, other.created_at)


def _last_that_fit(sizes: Iterable[int], tokens: float) -> int:
    """How many, the last one first. What does not fit is not looked behind."""
    return sum(1 for _ in takewhile(lambda reached: reached <= tokens, accumulate(sizes)))
