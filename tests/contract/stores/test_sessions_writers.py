"""Two writers of one session: the rules of lease and turn over every store, with everything in between."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bureau_contracts.sessions import AcquireLease, NewMessage, NewSession, NewTurn, RenewLease, Role
from kit.identity import Principal
from services.sessions.errors import LeaseHeld, LeaseLost, StaleWriter, TurnDiffers, VersionConflict
from services.sessions.service import SessionsService
from tests.fakes import FixedClock
from tests.session_stores import ADAPTERS, make_store, opened

ANNA = Principal("acme", "anna")
ID = "sess-1"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=ADAPTERS)
async def sessions(request: pytest.FixtureRequest, clock: FixedClock) -> AsyncIterator[SessionsService]:
    async with opened(make_store(request.param, request)) as store:
        service = SessionsService(store, clock)
        await service.create(ANNA, NewSession(session_id=ID))
        yield service


def a_turn(turn_id: str, author: str = "", token: int | None = None) -> NewTurn:
    messages = [
        NewMessage(role=Role.USER, content=f"{author} asks"),
        NewMessage(role=Role.USER, content=f"{author} ends"),
    ]
    return NewTurn(turn_id=f"turn-{turn_id}", messages=messages, fencing_token=token, answer={"reply": author})


async def contents(sessions: SessionsService) -> list[object]:
    page = await sessions.history(ANNA, ID, before=None, after=0, limit=200)
    assert [message.seq for message in page.messages] == list(range(1, len(page.messages) + 1))
    return [message.content for message in page.messages]


async def test_a_writer_whose_lease_was_taken_over_is_refused(sessions: SessionsService, clock: FixedClock) -> None:
    first = await sessions.acquire_lease(ANNA, ID, AcquireLease(holder="first", ttl_seconds=30))
    with pytest.raises(LeaseHeld) as refused:
        await sessions.acquire_lease(ANNA, ID, AcquireLease(holder="second"))
    assert refused.value.retry_after == 30
    clock.move(30)
    second = await sessions.acquire_lease(ANNA, ID, AcquireLease(holder="second"))
    assert second.fencing_token > first.fencing_token

    with pytest.raises(StaleWriter):
        await sessions.store_turn(ANNA, ID, a_turn("1", "first", first.fencing_token))
    with pytest.raises(StaleWriter):
        await sessions.store_turn(ANNA, ID, a_turn("2", "nobody"))
    with pytest.raises(LeaseLost):
        await sessions.renew_lease(ANNA, ID, RenewLease(fencing_token=first.fencing_token))
    with pytest.raises(LeaseLost):
        await sessions.release_lease(ANNA, ID, first.fencing_token)
    assert await contents(sessions) == []
    await sessions.store_turn(ANNA, ID, a_turn("3", "second", second.fencing_token))
    await sessions.release_lease(ANNA, ID, second.fencing_token)
    await sessions.store_turn(ANNA, ID, a_turn("4", "nobody"))
    assert await contents(sessions) == ["second asks", "second ends", "nobody asks", "nobody ends"]


async def test_a_renewed_lease_is_not_taken_over(sessions: SessionsService, clock: FixedClock) -> None:
    lease = await sessions.acquire_lease(ANNA, ID, AcquireLease(holder="first", ttl_seconds=30))
    clock.move(20)
    await sessions.renew_lease(ANNA, ID, RenewLease(fencing_token=lease.fencing_token, ttl_seconds=30))
    clock.move(20)
    with pytest.raises(LeaseHeld):
        await sessions.acquire_lease(ANNA, ID, AcquireLease(holder="second"))


async def test_of_many_turns_made_from_one_version_one_is_stored(sessions: SessionsService) -> None:
    turns = [a_turn(str(number), str(number)).model_copy(update={"expected_version": 1}) for number in range(8)]
    calls = (sessions.store_turn(ANNA, ID, turn) for turn in turns)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [VersionConflict] * 7
    author = next(number for number, answer in enumerate(answers) if not isinstance(answer, Exception))
    assert await contents(sessions) == [f"{author} asks", f"{author} ends"]


async def test_an_operator_adds_a_note_while_somebody_writes(sessions: SessionsService) -> None:
    lease = await sessions.acquire_lease(ANNA, ID, AcquireLease(holder="writer"))
    await sessions.add_message(ANNA, ID, NewMessage(role=Role.SYSTEM, content="a note"))
    stored = await sessions.store_turn(ANNA, ID, a_turn("1", "writer", lease.fencing_token))
    assert (stored.first_seq, stored.last_seq) == (2, 3)
    assert await contents(sessions) == ["a note", "writer asks", "writer ends"]


async def test_writers_that_meet_at_every_step_never_interleave(sessions: SessionsService) -> None:
    rounds, meet, refused = 10, asyncio.Barrier(2), 0

    async def write(name: str) -> None:
        nonlocal refused
        for number in range(rounds):
            await meet.wait()
            while True:
                try:
                    lease = await sessions.acquire_lease(ANNA, ID, AcquireLease(holder=name))
                    break
                except LeaseHeld:
                    refused += 1
                    await asyncio.sleep(0)
            await asyncio.sleep(0)  # the other one comes to the door
            await sessions.store_turn(ANNA, ID, a_turn(f"{name}-{number}", name, lease.fencing_token))
            await sessions.release_lease(ANNA, ID, lease.fencing_token)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(write("one"))
        group.create_task(write("two"))
    said = await contents(sessions)
    # The proof that they met: one of them stood before the other's lease, and each round has a turn of both.
    assert refused >= rounds
    for number in range(0, len(said), 4):
        assert {said[number], said[number + 2]} == {"one asks", "two asks"}
    for number in range(0, len(said), 2):
        assert said[number + 1] == str(said[number]).replace("asks", "ends")
    assert len(said) == rounds * 4


async def test_of_many_who_want_the_lease_one_gets_it(sessions: SessionsService) -> None:
    tries = [sessions.acquire_lease(ANNA, ID, AcquireLease(holder=f"writer {number}")) for number in range(16)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, LeaseHeld) for outcome in outcomes) == 15


async def test_the_same_turn_sent_many_times_at_once_is_stored_once(sessions: SessionsService) -> None:
    answers = await asyncio.gather(*(sessions.store_turn(ANNA, ID, a_turn("1", "me")) for _ in range(16)))
    assert all(answer == answers[0] for answer in answers)
    assert await contents(sessions) == ["me asks", "me ends"]
    with pytest.raises(TurnDiffers):
        await sessions.store_turn(ANNA, ID, a_turn("1", "somebody else"))
    assert await sessions.stored_turn(ANNA, ID, "turn-1") == answers[0]
    assert (await sessions.state(ANNA, ID)).version == 2
