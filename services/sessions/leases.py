"""The single-writer lease: who may store turns. Pure rules over a record and a time.

At most one lease is alive. Whoever is given one gets a fencing token that is greater than all before it, so that
safety does not hang on clocks: a writer that slept through its lease is refused by number once another one wrote.
The lease guards turns. A single message, a status or a state key can be set beside it, on purpose: that is how an
operator adds a note while an agent works.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from bureau_contracts.sessions import Lease
from services.sessions.errors import LeaseHeld, LeaseLost, StaleWriter
from services.sessions.record import SessionRecord
from services.sessions.statuses import require_writable


def acquire(record: SessionRecord, holder: str, ttl_seconds: float, now: datetime) -> SessionRecord:
    """Raises LeaseHeld while another holder's lease is alive.

    The same holder gets a new lease and its old token is void: it may have died and come back, and its former self
    may still be on its way. So a holder's name must be one writer's alone.
    """
    require_writable(record.session)
    if record.lease is not None and record.lease.holder != holder and _is_alive(record.lease, now):
        raise LeaseHeld(record.lease.expires_at - now)
    token = record.last_fencing_token + 1
    lease = Lease(fencing_token=token, holder=holder, expires_at=now + timedelta(seconds=ttl_seconds))
    return replace(record, lease=lease, last_fencing_token=token)


def renew(record: SessionRecord, fencing_token: int, ttl_seconds: float, now: datetime) -> SessionRecord:
    """Raises LeaseLost when the token is not that of a living lease."""
    require_writable(record.session)
    lease = record.lease
    if lease is None or lease.fencing_token != fencing_token or not _is_alive(lease, now):
        raise LeaseLost
    renewed = lease.model_copy(update={"expires_at": now + timedelta(seconds=ttl_seconds)})
    return replace(record, lease=renewed)


def release(record: SessionRecord, fencing_token: int) -> SessionRecord:
    """Raises LeaseLost when somebody else is the holder by now, or nobody."""
    if record.lease is None or record.lease.fencing_token != fencing_token:
        raise LeaseLost
    return replace(record, lease=None)


def admit_writer(record: SessionRecord, fencing_token: int | None, now: datetime) -> SessionRecord:
    """The record that a turn may be written to. Raises StaleWriter for a turn by anybody but the session's writer.

    A lease that expired still writes as long as nobody was given another and nobody wrote without one: until then its
    holder has missed nothing. A turn without a token ends such a lease.
    """
    if fencing_token is not None:
        if record.lease is None or record.lease.fencing_token != fencing_token:
            raise StaleWriter
        return record
    if record.lease is not None and _is_alive(record.lease, now):
        raise StaleWriter
    return replace(record, lease=None)


def is_held(record: SessionRecord, now: datetime) -> bool:
    return record.lease is not None and _is_alive(record.lease, now)


def _is_alive(lease: Lease, now: datetime) -> bool:
    return now < lease.expires_at
