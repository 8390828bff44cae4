"""Summaries of what was said: when one is made, who may ask for it, and what a model is shown. Knows no HTTP.

A summariser may be slow, so it works while the session is not locked. Its summary is stored only if the session still
shows what was summarised, upon the same summary as before; else the work is thrown away and begins anew.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from bureau_contracts.sessions import Compacted, CompactSession, Covers, Message, Summary, Window
from kit.clock import Clock
from kit.errors import Refusal
from kit.identity import Principal, Reach
from kit.logs import get_logger
from kit.telemetry import annotate, span
from services.sessions import summarising
from services.sessions.errors import SummaryNotFound
from services.sessions.record import Current, Grown, SessionRecord, StoredSummary, Write
from services.sessions.statuses import require_writable
from services.sessions.store import SessionStore
from services.sessions.summariser import Material, Summariser, SummariserFailed
from services.sessions.summarising import PIECE_TOKENS, Limit
from services.sessions.tokens import tokens_of

log = get_logger(__name__)

PAGE = 1000
"""Messages that are read at once."""
LONGEST_SECONDS = 60.0
"""After so long no further piece is begun; what is summarised by then is stored."""
AHEAD_TOKENS = 4 * PIECE_TOKENS
"""How much is read ahead of what is summarised."""
SWEPT_AT_ONCE = 100
LOOKS_BACK = timedelta(days=1)
"""How far a sweep looks for sessions that were active, when it does not know when the last one was."""
OVERLAP = timedelta(minutes=1)
"""Between sweeps: other replicas' clocks, and changes that were being committed."""


@dataclass(frozen=True, slots=True)
class _Behind:
    """What is not summarised yet."""

    record: SessionRecord
    summary: StoredSummary | None
    messages: Sequence[Message]
    """From the first one on."""
    following: int
    """How many more there are."""

    @property
    def tokens(self) -> int:
        return summarising.material_tokens(self.summary, self.messages)


class Compaction:
    def __init__(
        self, store: SessionStore, summariser: Summariser, clock: Clock, *, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        self._store, self._summariser, self._clock = store, summariser, clock
        self._longest_seconds = longest_seconds
        self._one_each: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._swept_at: datetime | None = None

    async def compact(self, principal: Principal, session_id: str, wanted: CompactSession) -> Compacted:
        """Raises SessionArchived when there is something to summarise."""
        limit = Limit(wanted.max_tokens, wanted.keep_last)
        compacted, behind = await self._compact(principal.reach(), session_id, limit)
        if behind.following:
            window = await self.window(principal, session_id, max_tokens=wanted.max_tokens, max_messages=PAGE)
            return Compacted(compacted=compacted, **dict(window))
        summary = _summary(behind.summary) if behind.summary else None
        return Compacted(
            compacted=compacted, summary=summary, messages=list(behind.messages), tokens=behind.tokens, omitted=0
        )

    async def window(self, principal: Principal, session_id: str, *, max_tokens: int, max_messages: int) -> Window:
        """What a model is shown: the summary, and the newest whole messages that fit beside it."""
        record, summary, messages = await self._store.window(principal.reach(), session_id, limit=max_messages)
        covered = summary.place.last_seq if summary else 0
        if summary is not None and summary.tokens_after > max_tokens:
            summary = None
        left = max_tokens - (summary.tokens_after if summary else 0)
        behind = record.session.message_count - covered
        shown = messages[summarising.shown_from(messages, left, all_here=len(messages) == behind) :]
        return Window(
            summary=_summary(summary) if summary else None,
            messages=shown,
            tokens=summarising.material_tokens(summary, shown),
            omitted=record.session.message_count - (covered if summary else 0) - len(shown),
        )

    async def summary(self, principal: Principal, session_id: str) -> Summary:
        """Raises SummaryNotFound."""
        _, summary, _ = await self._store.window(principal.reach(), session_id, limit=0)
        if summary is None:
            raise SummaryNotFound(session_id)
        return _summary(summary)

    async def sweep(self, tenant: str | None, above_tokens: int) -> Mapping[str, int]:
        """Summarises active sessions that have more behind their summary; of all tenants when `tenant` is None."""
        now = self._clock.now()
        since = now - LOOKS_BACK
        if tenant is None and self._swept_at is not None:
            since = max(since, min(self._swept_at, now) - OVERLAP)
        counts = {"sessions_compacted": 0, "sessions_not_compacted": 0}
        async for grown in self._grown(tenant, since, above_tokens):
            try:
                compacted, _ = await self._compact(Reach(grown.tenant, None), grown.session_id, Limit(above_tokens))
                counts["sessions_compacted"] += compacted
            except Refusal as refusal:  # it was purged or archived meanwhile, or the store is away
                log.warning("session_not_compacted", session_id=grown.session_id, code=refusal.code)
                counts["sessions_not_compacted"] += 1
        if tenant is None and not counts["sessions_not_compacted"]:
            self._swept_at = now
        return counts

    async def _grown(self, tenant: str | None, since: datetime, tokens: int) -> AsyncIterator[Grown]:
        """A token is a character at least, nearly always; what only looks large is found out when it is read."""
        after = None
        while True:
            page = await self._store.grown(
                tenant, active_since=since, characters=tokens, after=after, limit=SWEPT_AT_ONCE
            )
            for each in page:
                yield each
            if len(page) < SWEPT_AT_ONCE:
                return
            after = page[-1]

    async def _compact(self, reach: Reach, session_id: str, limit: Limit) -> tuple[bool, _Behind]:
        """Piece by piece until what is left is within the limit, or nothing more can be summarised."""
        give_up = time.monotonic() + self._longest_seconds
        async with self._alone(reach.tenant, session_id):
            first = behind = await self._read(reach, session_id, limit)
            while count := await asyncio.to_thread(_next_covered, behind, limit):
                require_writable(behind.record.session)
                if time.monotonic() >= give_up:
                    break
                left = await self._cover(reach, session_id, behind, count, limit)
                if left is None:
                    break
                much = await asyncio.to_thread(_is_much, left, limit)
                behind = left if much else await self._read(reach, session_id, limit)
        covered = _covered(behind) - _covered(first)
        if covered > 0:
            _report(session_id, first, behind)
        return covered > 0, behind

    async def _read(self, reach: Reach, session_id: str, limit: Limit) -> _Behind:
        """All that is not summarised; of very much only the first messages, but more than `limit` by some pieces."""
        record, summary, messages = await self._store.window(reach, session_id, limit=PAGE)
        covered = summary.place.last_seq if summary else 0
        total = record.session.message_count - covered
        if len(messages) == total:
            return _Behind(record, summary, messages, 0)
        messages, tokens = [], 0
        while tokens <= limit.max_tokens + AHEAD_TOKENS and len(messages) < total:
            after, end = covered + len(messages), record.session.message_count + 1
            _, page = await self._store.history(reach, session_id, after=after, before=end, limit=PAGE, newest=False)
            if not page:
                break  # it went back meanwhile: what is made of this will not be stored
            messages += page
            tokens += await asyncio.to_thread(tokens_of, page)
        return _Behind(record, summary, messages, total - len(messages))

    async def _cover(self, reach: Reach, session_id: str, behind: _Behind, count: int, limit: Limit) -> _Behind | None:
        """One piece. What is then left; nothing to go by when another writer was quicker. None: it cannot be done."""
        before, piece = behind.summary, behind.messages[:count]
        if before is not None and not await self._holds(reach, session_id, before):
            await self._discard(reach, session_id, before)
            return _Behind(behind.record, None, [], 0)
        replaced = summarising.material_tokens(before, piece)
        material = Material(before.text if before else "", piece)
        try:
            made = await self._summariser.summarise(material, summarising.summary_budget(replaced, limit))
        except SummariserFailed as failure:
            log.warning("summary_failed", session_id=session_id, reason=str(failure))
            return None
        summary = summarising.made_summary(behind.record, before, piece, made, self._clock.now())
        if summary.tokens_after >= replaced:
            log.warning("summary_failed", session_id=session_id, reason="it is longer than what it replaces")
            return None

        def decide(current: Current) -> tuple[bool, Write | None]:
            return summarising.store_summary(current, behind.record, before, summary)

        if not await self._store.change(reach, session_id, decide, summary=True):
            return _Behind(behind.record, None, [], 0)
        return _Behind(behind.record, summary, behind.messages[count:], behind.following)

    async def _holds(self, reach: Reach, session_id: str, summary: StoredSummary) -> bool:
        """Whether the messages that it was made of are those that stand there."""
        messages, after, end = list[Message](), summary.built_on_seq, summary.place.last_seq + 1
        while after + 1 < end:
            _, page = await self._store.history(reach, session_id, after=after, before=end, limit=PAGE, newest=False)
            if not page:
                break
            messages += page
            after = page[-1].seq
        return await asyncio.to_thread(summarising.holds, summary, messages)

    async def _discard(self, reach: Reach, session_id: str, stale: StoredSummary) -> None:
        log.warning("summary_stale", session_id=session_id, last_seq=stale.place.last_seq)

        def decide(current: Current) -> tuple[None, Write | None]:
            return summarising.discard_summary(current, stale)

        await self._store.change(reach, session_id, decide, summary=True)

    @asynccontextmanager
    async def _alone(self, tenant: str, session_id: str) -> AsyncIterator[None]:
        """Among this process's callers. Of two processes, the second one's work is thrown away."""
        lock = self._one_each.setdefault((tenant, session_id), asyncio.Lock())
        async with lock:
            yield


def _next_covered(behind: _Behind, limit: Limit) -> int:
    summary_tokens = behind.summary.tokens_after if behind.summary else 0
    return summarising.next_covered(behind.messages, behind.following, summary_tokens, limit)


def _is_much(behind: _Behind, limit: Limit) -> bool:
    """So much that the next piece can be made of it without looking whether the session went on."""
    return behind.following > 0 and tokens_of(behind.messages) > limit.max_tokens + PIECE_TOKENS


def _covered(behind: _Behind) -> int:
    return behind.summary.place.last_seq if behind.summary else 0


def _summary(stored: StoredSummary) -> Summary:
    return Summary(
        text=stored.text,
        covers=Covers(first_seq=1, last_seq=stored.place.last_seq),
        made_by=stored.made_by,
        tokens_before=stored.tokens_before,
        tokens_after=stored.tokens_after,
        created_at=stored.created_at,
    )


def _report(session_id: str, before: _Behind, after: _Behind) -> None:
    """Sizes only: what was said is nobody's business here."""
    assert after.summary is not None
    summarised = after.summary.tokens_before - (before.summary.tokens_before if before.summary else 0)
    replaced = summarised + (before.summary.tokens_after if before.summary else 0)
    messages_after = len(after.messages) + after.following
    sizes = {
        "messages_before": messages_after + _covered(after) - _covered(before),
        "messages_after": messages_after,
        "tokens_before": after.tokens - after.summary.tokens_after + replaced,
        "tokens_after": after.tokens,
    }
    with span("context_compressed", {"made_by": after.summary.made_by}):
        annotate(sizes)
    log.info("context_compressed", session_id=session_id, made_by=after.summary.made_by, **sizes)
