"""Where a session is in its life, and where it may go from there. One table; pure rules, no I/O.

A session expires by the clock: it is shown as expired, and refuses writes, from that moment on, whether or not anybody
has written so into its row yet.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bureau_contracts.sessions import Lifecycle, Session
from services.sessions.record import Listing, SessionRecord, Write
from services.sessions.statuses import require_not_archived

L = Lifecycle

LEGAL: dict[Lifecycle, frozenset[Lifecycle]] = {
    L.ACTIVE: frozenset({L.EXPIRED, L.ARCHIVED}),
    L.EXPIRED: frozenset({L.ACTIVE, L.ARCHIVED}),
    # For good: it is read, forked or purged.
    L.ARCHIVED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Aging:
    """How long a session may lie idle."""

    idle: timedelta | None
    """None: for ever."""

    def expires_at(self, session: Session) -> datetime | None:
        """None when it never does, or is archived."""
        if self.idle is None or session.lifecycle is Lifecycle.ARCHIVED:
            return None
        return session.last_activity + self.idle

    def as_of(self, session: Session, now: datetime) -> Session:
        """The session as it is at that time."""
        expires_at = self.expires_at(session)
        changed: dict[str, object] = {}
        if expires_at != session.expires_at:
            changed["expires_at"] = expires_at
        if expires_at is not None and session.lifecycle is Lifecycle.ACTIVE and expires_at <= now:
            changed["lifecycle"] = Lifecycle.EXPIRED
        return session.model_copy(update=changed) if changed else session

    def as_stored(self, listing: Listing, now: datetime) -> list[Listing]:
        """What to look for in rows, to find what this listing shows at that time: what expired may not say so yet.

        In the order in which a session moves, so that one that moves meanwhile is found.
        """
        since = self.active_since(now)
        if since is None or listing.lifecycle is Lifecycle.ARCHIVED:
            return [listing]
        if listing.lifecycle is Lifecycle.ACTIVE:
            return [replace(listing, since=max(since, listing.since or since))]
        silently = replace(listing, lifecycle=Lifecycle.ACTIVE, until=min(since, listing.until or since))
        return [silently, listing]

    def active_since(self, now: datetime) -> datetime | None:
        """Whose last activity is at this moment or later has not expired. None: nobody's has."""
        # Times have microseconds: one later than the last moment that has expired.
        return None if self.idle is None else now - self.idle + timedelta(microseconds=1)


def resume(record: SessionRecord, now: datetime) -> tuple[Session, Write | None]:
    """An expired session is active again, from now on. An active one stays as it is. Raises SessionArchived."""
    require_not_archived(record.session)
    if record.session.lifecycle is Lifecycle.ACTIVE:
        return record.session, None
    return _moved(record, Lifecycle.ACTIVE, now, active=True)


def archive(record: SessionRecord, now: datetime) -> tuple[Session, Write | None]:
    """Read-only for good, and nobody's to write. Archiving an archived one changes nothing."""
    if record.session.lifecycle is Lifecycle.ARCHIVED:
        return record.session, None
    return _moved(replace(record, lease=None), Lifecycle.ARCHIVED, now)


def expire(record: SessionRecord, aging: Aging, now: datetime) -> tuple[bool, Write | None]:
    """Writes down what is so already, if it is. Nothing else of the session changes."""
    session = aging.as_of(record.session, now)
    if session.lifecycle is record.session.lifecycle:
        return False, None
    return True, Write(replace(record, session=session))


def _moved(
    record: SessionRecord, to: Lifecycle, now: datetime, *, active: bool = False
) -> tuple[Session, Write | None]:
    session = record.session
    assert to in LEGAL[session.lifecycle]
    at = max(now, session.updated_at)
    changed = {"lifecycle": to, "version": session.version + 1, "updated_at": at}
    if active:
        changed["last_activity"] = at
    moved = session.model_copy(update=changed)
    return moved, Write(replace(record, session=moved))
