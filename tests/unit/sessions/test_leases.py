"""Who may write: the rules of the lease, with time held still."""

from datetime import timedelta

import pytest

from bureau_contracts.sessions import Lifecycle
from services.sessions.errors import LeaseHeld, LeaseLost, SessionArchived, StaleWriter
from services.sessions.leases import acquire, admit_writer, release, renew
from tests.unit.sessions.records import NOW, a_record

SOON = NOW + timedelta(seconds=10)
LATE = NOW + timedelta(seconds=30)
"""The moment at which a lease of 30 seconds that was given out NOW is over."""

FREE = a_record()
HELD = acquire(FREE, "one", 30, NOW)


def test_a_lease_names_its_holder_and_its_end() -> None:
    assert HELD.lease is not None
    assert (HELD.lease.holder, HELD.lease.fencing_token, HELD.lease.expires_at) == ("one", 1, LATE)


def test_a_second_holder_is_refused_and_told_when_to_come_back() -> None:
    with pytest.raises(LeaseHeld) as refused:
        acquire(HELD, "two", 30, SOON)
    assert refused.value.retry_after == 20


def test_after_its_end_a_lease_is_taken_over_with_a_greater_token() -> None:
    taken = acquire(HELD, "two", 30, LATE)
    assert taken.lease is not None
    assert (taken.lease.holder, taken.lease.fencing_token) == ("two", 2)


def test_a_holder_that_comes_back_gets_a_new_token_and_its_old_one_is_void() -> None:
    again = acquire(HELD, "one", 30, SOON)
    assert again.last_fencing_token == 2
    with pytest.raises(StaleWriter):
        admit_writer(again, 1, SOON)


def test_tokens_grow_over_released_leases_too() -> None:
    assert acquire(release(HELD, 1), "two", 30, SOON).last_fencing_token == 2


def test_a_renewed_lease_lasts_longer_under_the_same_token() -> None:
    renewed = renew(HELD, 1, 30, SOON)
    assert renewed.lease is not None
    assert (renewed.lease.fencing_token, renewed.lease.expires_at) == (1, SOON + timedelta(seconds=30))


@pytest.mark.parametrize(
    ("record", "at"),
    [(HELD, LATE), (release(HELD, 1), SOON), (acquire(HELD, "two", 30, LATE), LATE), (FREE, NOW)],
    ids=["expired", "released", "taken over", "never held"],
)
def test_a_lost_lease_is_not_renewed(record: object, at: object) -> None:
    with pytest.raises(LeaseLost):
        renew(record, 1, 30, at)  # type: ignore[arg-type]  # parametrised values have no types


def test_another_ones_lease_is_not_released() -> None:
    with pytest.raises(LeaseLost):
        release(acquire(HELD, "two", 30, LATE), 1)


def test_only_the_token_of_the_lease_writes_while_it_lives() -> None:
    assert admit_writer(HELD, 1, SOON) is HELD
    for token in (None, 0, 2, 10**30, -1):
        with pytest.raises(StaleWriter):
            admit_writer(HELD, token, SOON)


def test_without_a_lease_anybody_writes_who_claims_none() -> None:
    assert admit_writer(FREE, None, NOW) == FREE
    with pytest.raises(StaleWriter):
        admit_writer(FREE, 1, NOW)
    with pytest.raises(StaleWriter):
        admit_writer(release(HELD, 1), 1, SOON)


def test_an_expired_lease_still_writes_until_somebody_else_wrote() -> None:
    assert admit_writer(HELD, 1, LATE) is HELD
    written_by_another = admit_writer(HELD, None, LATE)
    with pytest.raises(StaleWriter):
        admit_writer(written_by_another, 1, LATE)


def test_an_archived_session_gives_no_lease() -> None:
    with pytest.raises(SessionArchived):
        acquire(a_record(lifecycle=Lifecycle.ARCHIVED), "one", 30, NOW)
