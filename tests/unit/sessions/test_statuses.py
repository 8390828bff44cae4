"""The table of transitions."""

from itertools import pairwise

import pytest

from bureau_contracts.sessions import SessionStatus
from services.sessions.errors import IllegalTransition
from services.sessions.statuses import LEGAL, check_transition

S = SessionStatus


def test_every_status_can_be_reached_and_left() -> None:
    assert set(LEGAL) == set(S)
    for status in S:
        assert LEGAL[status] - {status}
        assert any(status in following for current, following in LEGAL.items() if current is not status)


@pytest.mark.parametrize("status", S)
def test_staying_is_legal(status: SessionStatus) -> None:
    check_transition(status, status)


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        (S.IDLE, S.INTERRUPTED),
        (S.IDLE, S.WAITING_APPROVAL),
        (S.WAITING_APPROVAL, S.COMPLETED),
        (S.EXECUTING_QUEUED, S.PLANNING),
        (S.COMPLETED, S.INTERRUPTED),
        (S.COMPLETED, S.ERROR),
    ],
)
def test_an_illegal_transition_is_refused_and_names_both(current: SessionStatus, wanted: SessionStatus) -> None:
    with pytest.raises(IllegalTransition) as refused:
        check_transition(current, wanted)
    assert f"is {current} " in refused.value.detail
    assert refused.value.detail.endswith(f" {wanted}")


def test_a_plan_goes_its_way() -> None:
    way = [S.IDLE, S.PLANNING, S.WAITING_APPROVAL, S.EXECUTING_QUEUED, S.EXECUTING, S.COMPLETED, S.PLANNING, S.IDLE]
    for current, wanted in pairwise(way):
        check_transition(current, wanted)


def test_a_turn_can_begin_in_every_status_and_end_in_any() -> None:
    assert all(S.EXECUTING in LEGAL[status] for status in S)
    assert LEGAL[S.EXECUTING] == set(S)
