"""The change feed: what changed after a position, as one principal may see it. Stores nothing: it reads revisions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from bureau_contracts.registry import Change, ChangePage, ChangeType, Kind
from kit.identity import Principal
from kit.tasks import Ended, until
from services.registry.document import Document, Kept, Thing
from services.registry.store import RegistryStore
from services.registry.things import may_see

PING_SECONDS = 15
"""How long a stream is silent at most."""
STREAM_SECONDS = 600
"""How long one stream lasts. Then its reader connects again, and shows who it is: a revoked key reads no further."""


class Feed:
    """Changes as a principal sees them: those of its tenant's things and of the shared ones."""

    def __init__(self, store: RegistryStore, stopping: asyncio.Event) -> None:
        """Nothing waits any longer once `stopping` is set."""
        self._store, self._stopping = store, stopping

    async def page(self, principal: Principal, after: int, wait_seconds: float, limit: int) -> ChangePage:
        """At once when there is something after `after`; else when there is, or when the time is over."""
        document = self._store.document
        if after > document.seq:
            return ChangePage(changes=[], seq=document.seq, reset=True)
        page = _page(document, principal, after, limit)
        with suppress(TimeoutError, Ended):
            async with asyncio.timeout(wait_seconds), until(_set(self._stopping)):
                while not (page.changes or page.reset):  # what came may all have been another tenant's
                    document = await self._store.newer_than(page.seq)
                    page = _page(document, principal, page.seq, limit)
        return page

    async def pages(self, principal: Principal, after: int, limit: int) -> AsyncIterator[ChangePage]:
        """One after the other; an empty one when nothing happened for PING_SECONDS."""
        loop = asyncio.get_running_loop()
        end = loop.time() + STREAM_SECONDS
        while not self._stopping.is_set() and loop.time() < end:
            page = await self.page(principal, after, PING_SECONDS, limit)
            after = page.seq
            yield page


async def _set(event: asyncio.Event) -> None:
    await event.wait()


def _page(document: Document, principal: Principal, after: int, limit: int) -> ChangePage:
    if 0 < after < document.told_from:  # also of who waits while many are deleted at once
        return ChangePage(changes=[], seq=document.seq, reset=True)
    changes = []
    for kind, name, kept in document.newest_first():
        if kept[-1].seq <= after:
            break
        change = _newest(document, principal, kind, name, kept)
        if change is not None and change.seq > after:
            changes.append(change)
    changes.sort(key=lambda change: change.seq)
    cut = len(changes) > limit
    return ChangePage(changes=changes[:limit], seq=changes[limit - 1].seq if cut else document.seq)


def _newest(document: Document, principal: Principal, kind: Kind, name: str, kept: tuple[Kept, ...]) -> Change | None:
    """The newest change of a thing that the principal may see. A thing that went over to another tenant was deleted."""
    hidden = None
    for each in reversed(kept):
        if may_see(principal, each.record):
            if hidden is None:
                return _change(kind, name, each, each.change, document.things(kind).get(name))
            if each.change is ChangeType.DELETED:
                return _change(kind, name, each, each.change, None)
            return _change(kind, name, hidden, ChangeType.DELETED, None)
        hidden = each
    return None


def _change(kind: Kind, name: str, kept: Kept, change: ChangeType, current: Thing | None) -> Change:
    return Change(
        seq=kept.seq,
        kind=kind,
        name=name,
        change=change,
        revision=kept.revision,
        enabled=getattr(current, "enabled", None),  # a prompt has no switch
        at=kept.at,
    )
