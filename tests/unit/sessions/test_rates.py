"""The rule of messages per minute: never more than the limit in any minute, and a time to come back that holds."""

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bureau_contracts.sessions import NewMessage, NewSession, NewTurn, Role
from kit.identity import Owner, Principal
from services.sessions import rates
from services.sessions.errors import TooManyMessages
from services.sessions.limits import Limits
from services.sessions.rates import Full, LocalMessageRates, admit
from services.sessions.service import SessionsService
from services.sessions.store_memory import MemorySessionStore
from tests.fakes import FixedClock

ANNA, BEN = Owner("acme", "anna"), Owner("acme", "ben")
STEPS = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 8)), max_size=60)


class Seconds:
    """A clock that stands at a number of seconds."""

    now = 1000.5

    def __call__(self) -> float:
        return self.now


@given(STEPS, st.integers(1, 20))
def test_no_minute_ever_holds_more_than_the_limit(steps: list[tuple[float, int]], limit: int) -> None:
    minute: OrderedDict[int, int] = OrderedDict()
    now, admitted = 0.0, list[tuple[float, int]]()
    for pause, messages in steps:
        now += pause
        if admit(minute, now, messages, limit) is None:
            admitted.append((now, messages))
        assert len(minute) <= rates.WINDOW_SECONDS + 2
    for end, _ in admitted:
        within = [messages for at, messages in admitted if end - rates.WINDOW_SECONDS < at <= end]
        assert sum(within) <= limit or len(within) == 1


@given(STEPS, st.integers(1, 20), st.integers(1, 40))
def test_whoever_comes_back_when_told_is_admitted(steps: list[tuple[float, int]], limit: int, messages: int) -> None:
    minute: OrderedDict[int, int] = OrderedDict()
    now = 0.0
    for pause, before in steps:
        now += pause
        admit(minute, now, before, limit)
    full = admit(minute, now, messages, limit)
    if full is not None:
        assert 1 <= full.retry_after <= rates.WINDOW_SECONDS + 1
        assert admit(minute, now + full.retry_after, messages, limit) is None


async def test_what_is_refused_is_not_counted() -> None:
    clock = Seconds()
    local = LocalMessageRates(clock)
    assert await local.take(ANNA, 3, 3) is None
    for _ in range(5):
        assert await local.take(ANNA, 1, 3) == Full(used=3, retry_after=61)
    assert await local.take(BEN, 3, 3) is None
    clock.now += 61
    assert await local.take(ANNA, 3, 3) is None


async def test_the_memory_of_who_wrote_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "USERS", 3)
    local = LocalMessageRates(Seconds())
    for number in range(100):
        assert await local.take(Owner("acme", f"user-{number}"), 1, 1) is None
    assert await local.take(Owner("acme", "user-99"), 1, 1) is not None
    assert len(local._minutes) == 3


async def test_messages_and_turns_are_counted_together_and_nothing_is_stored_beyond_the_limit() -> None:
    anna = Principal("acme", "anna")
    sessions = SessionsService(MemorySessionStore(), FixedClock(), Limits(4, LocalMessageRates(Seconds())))
    session_id = (await sessions.create(anna, NewSession())).session_id
    message = NewMessage(role=Role.USER, content="hello")
    await sessions.add_message(anna, session_id, message)
    await sessions.store_turn(anna, session_id, NewTurn(turn_id="turn-1", messages=[message] * 2))
    with pytest.raises(TooManyMessages) as refused:
        await sessions.store_turn(anna, session_id, NewTurn(turn_id="turn-2", messages=[message] * 2))
    assert refused.value.retry_after == 61
    assert "4 messages per minute: 3 were stored" in refused.value.detail
    await sessions.add_message(anna, session_id, message)
    with pytest.raises(TooManyMessages):
        await sessions.add_message(anna, session_id, message)
    await sessions.store_turn(anna, session_id, NewTurn(turn_id="turn-3"))  # of no messages
    assert (await sessions.view(anna, session_id, 50)).session.message_count == 4
