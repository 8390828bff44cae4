"""The index of messages in memory: none at all, it looks through everything. For tests."""

from collections.abc import Callable, Iterable, Sequence

from bureau_contracts.sessions import Message, Session
from kit.identity import Reach
from services.sessions.search import Candidates, Found, tokens_of


class MemoryMessageIndex:
    def __init__(self, shown: Callable[[], Iterable[tuple[Session, list[Message]]]]) -> None:
        """`shown` is the store's: every session with the messages that it shows."""
        self._shown = shown
        self._places: dict[tuple[str, str], int] = {}
        """By tenant and message, given out when a search first sees one."""
        self._homes: dict[int, str] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def find(
        self, reach: Reach, tokens: Sequence[str], *, session_id: str | None, before: int | None, limit: int
    ) -> Candidates:
        shown = [(session, each) for session, messages in self._shown() for each in messages]
        found: dict[int, Found] = {}
        # A message's own session comes first, then the one that was active last: the last one found stays.
        for session, message in sorted(shown, key=lambda pair: (pair[1].timestamp, pair[1].seq, pair[0].last_activity)):
            place = self._places.setdefault((session.tenant, message.message_id), len(self._places) + 1)
            own = self._homes.setdefault(place, session.session_id) == session.session_id
            tokens_there = tokens_of(session.tenant, session.user_id, session.session_id, message)
            if (
                set(tokens) <= set(tokens_there)
                and session_id in (None, session.session_id)
                and (before is None or place < before)
                and (own or place not in found or found[place].session_id != self._homes[place])
            ):
                found[place] = Found(place, session.session_id, message)
        latest = sorted(found.values(), key=lambda each: each.place, reverse=True)
        more = len(latest) > limit
        return Candidates(latest[:limit], latest[limit - 1].place if more else None, behind=False)
