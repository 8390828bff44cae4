"""What the sweep does about the age of things: expires sessions, cleans up, removes old receipts. No I/O of its own.

Each is a duty (see `sweep`): bounded pieces, safe in many replicas at once, and a clock that jumps back does nothing.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from bureau_contracts.sessions import Lifecycle
from kit.clock import Clock
from kit.identity import Reach
from services.sessions import lifecycle
from services.sessions.errors import SessionNotFound
from services.sessions.lifecycle import Aging
from services.sessions.receipts import KEPT
from services.sessions.record import Current, Listing, Write
from services.sessions.retention import done_before, listed, retire
from services.sessions.store import SessionStore
from services.sessions.sweep import Duty

AT_A_TIME = 1000


@dataclass(frozen=True, slots=True)
class Upkeep:
    store: SessionStore
    """One that shows what is in the rows: an expired session whose row does not say so yet is what is looked for."""
    clock: Clock
    aging: Aging
    cleanup_days: int
    """Completed sessions that lay idle so long are archived; 0: never."""
    purge_archived_days: int
    """Sessions that were archived so long ago are purged; 0: never."""

    def duties(self) -> list[Duty]:
        return [self.expire, self.clean_up, self.purge_archived, self.drop_receipts]

    async def expire(self, tenant: str | None) -> Mapping[str, int]:
        count, now = 0, self.clock.now()
        since = self.aging.active_since(now)

        def decide(current: Current) -> tuple[bool, Write | None]:
            return lifecycle.expire(current.record, self.aging, now)

        async for each in self._tenants(tenant if since else ""):
            reach = Reach(each, None)
            async for session in listed(self.store, reach, Listing(until=since)):
                with suppress(SessionNotFound):  # it was purged meanwhile
                    count += await self.store.change(reach, session.session_id, decide)
        return {"sessions_expired": count}

    async def clean_up(self, tenant: str | None) -> Mapping[str, int]:
        count, now = 0, self.clock.now()
        before = now - timedelta(days=self.cleanup_days)
        async for each in self._tenants(tenant if self.cleanup_days else ""):
            reach = Reach(each, None)
            async for session in done_before(self.store, reach, before):
                count += await retire(self.store, reach, session.session_id, before, now, purge=False)
        return {"sessions_archived": count}

    async def purge_archived(self, tenant: str | None) -> Mapping[str, int]:
        count, before = 0, self.clock.now() - timedelta(days=self.purge_archived_days)
        async for each in self._tenants(tenant if self.purge_archived_days else ""):
            reach = Reach(each, None)
            async for session in listed(self.store, reach, Listing(Lifecycle.ARCHIVED, until=before)):
                if session.updated_at < before:  # when it was archived; nothing changes it since
                    with suppress(SessionNotFound):  # it was purged meanwhile
                        await self.store.purge(reach, session.session_id)
                        count += 1
        return {"sessions_purged": count}

    async def drop_receipts(self, tenant: str | None) -> Mapping[str, int]:
        """Only with all tenants' sweep: they are found by age, whosever they are."""
        if tenant is not None:
            return {}
        count, before = 0, self.clock.now() - KEPT
        while dropped := await self.store.drop_receipts(before=before, limit=AT_A_TIME):
            count += dropped
        return {"receipts_dropped": count}

    async def _tenants(self, tenant: str | None) -> AsyncIterator[str]:
        """The one, all when None, none when ''."""
        if tenant is not None:
            if tenant:
                yield tenant
            return
        after = ""
        while page := await self.store.tenants(after=after, limit=AT_A_TIME):
            for each in page:
                yield each
            after = page[-1]
