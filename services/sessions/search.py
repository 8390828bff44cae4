"""Full-text search in one's own messages: the port of the index, and what a search makes of it.

The index knows which messages hold all of the words. Whether they stand as a phrase, where, and how a hit is shown is
worked out here from the message itself, the same for every index.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bureau_contracts.sessions import Message, Role, SearchHit, SearchPage
from kit.errors import Invalid
from kit.identity import Principal, Reach
from kit.paging import decode_cursor, encode_cursor
from services.sessions.search_text import snippet, text_of
from services.sessions.words import Query, distinct_words, find, parse, score

LOOKED_AT = 400
"""Messages that hold the words, of which one search looks whether they hold the phrases too. More than a page has."""


@dataclass(frozen=True, slots=True)
class Found:
    """A message that holds the words."""

    place: int
    """What was stored later has a greater one."""
    session_id: str
    message: Message


@dataclass(frozen=True, slots=True)
class Candidates:
    found: Sequence[Found]
    """The latest stored first."""
    next_before: int | None
    """Behind this place there may be more."""
    behind: bool
    """Old messages are still being indexed."""


class MessageIndex(Protocol):
    """Promises, shown by one suite over every adapter:

    - Only messages that a session within `reach` shows are found; nothing else is even looked at.
    - What was stored before a search began is found by it, unless it answers that indexing is behind.
    - A message that is gone is not found, and what the index kept of it goes too.
    """

    async def open(self) -> None:
        """Called once, after the store was opened."""

    async def close(self) -> None:
        """Called before the store is closed."""

    async def find(
        self, reach: Reach, tokens: Sequence[str], *, session_id: str | None, before: int | None, limit: int
    ) -> Candidates:
        """Messages that have all of the tokens (`words`, and those of this module), from behind the place `before`, of
        any session or of one. Looks at no more than `limit`. Raises Unavailable."""


class SearchService:
    """A user's principal finds that user's messages, a tenant-wide one its tenant's."""

    def __init__(self, index: MessageIndex) -> None:
        self._index = index

    async def search(
        self,
        principal: Principal,
        text: str,
        *,
        user_id: str | None,
        session_id: str | None,
        role: Role | None,
        limit: int,
        cursor: str | None,
    ) -> SearchPage:
        """Raises Invalid for a text without words. A page may be short and still not be the last."""
        query, reach = parse(text), principal.reach(user_id)
        before = _place(cursor) if cursor else None
        tokens = [owner_token(reach), *([role_token(role)] if role else []), *query.words]
        candidates = await self._index.find(reach, tokens, session_id=session_id, before=before, limit=LOOKED_AT)
        hits: list[SearchHit] = []
        go_on = candidates.next_before
        for each in candidates.found:
            if (hit := _hit(query, each)) is None:
                continue
            hits.append(hit)
            if len(hits) == limit:
                over = each is candidates.found[-1] and candidates.next_before is None
                go_on = None if over else each.place
                break
        cursor = None if go_on is None else encode_cursor(go_on)
        return SearchPage(hits=hits, next_cursor=cursor, indexing=candidates.behind)


def tokens_of(tenant: str, user_id: str, session_id: str, message: Message) -> list[str]:
    """All that is indexed of a message. No word has a colon, so nobody can write what looks like an owner's token."""
    return [
        owner_token(Reach(tenant, None)),
        owner_token(Reach(tenant, user_id)),
        session_token(tenant, session_id),
        role_token(message.role),
        *distinct_words(text_of(message)),
    ]


def owner_token(reach: Reach) -> str:
    """The tenant's when the reach is all of it, else its user's."""
    return f"t:{_digest(reach.tenant)}" if reach.user is None else f"u:{_digest(reach.tenant, reach.user)}"


def session_tokens(tenant: str, session_id: str, lineage: str | None) -> list[str]:
    """Of the sessions whose messages a session shows: itself, and those that its lineage (as it is stored) names."""
    named = [str(segment[0]) for segment in json.loads(lineage or "[]")]
    return list(dict.fromkeys(session_token(tenant, each) for each in (session_id, *named)))


def session_token(tenant: str, session_id: str) -> str:
    return f"s:{_digest(tenant, session_id)}"


def role_token(role: Role) -> str:
    return f"r:{role.value}"


def _place(cursor: str) -> int:
    (place,) = decode_cursor(cursor, int)
    if not 0 < int(place) < 2**63:
        raise Invalid("cursor: not one that this list gave out", code="invalid_cursor")
    return int(place)


def _digest(*names: str) -> str:
    return hashlib.blake2b(json.dumps(names).encode(), digest_size=12).hexdigest()


def _hit(query: Query, found: Found) -> SearchHit | None:
    text = text_of(found.message)
    spans = find(query, text)
    if spans is None:
        return None
    return SearchHit(
        session_id=found.session_id,
        seq=found.message.seq,
        message_id=found.message.message_id,
        role=found.message.role,
        agent=found.message.agent,
        snippet=snippet(text, [span for each in spans for span in each]),
        score=score(spans, len(text)),
        timestamp=found.message.timestamp,
    )
