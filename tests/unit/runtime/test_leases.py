"""One turn at a time in a session."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bureau.errors import Conflict, NotFound
from bureau_contracts.sessions import NewSession, NewTurn
from kit.identity import Principal, acting_as
from services.runtime.errors import SessionBusy, SessionNotFound
from services.runtime.leases import Leases
from tests.runtime_neighbours import World, world

ADA = Principal("acme", "ada")
SESSION = "sess-1"


@pytest.fixture
async def around() -> AsyncIterator[World]:
    async with world() as made:
        with acting_as(ADA):
            await made.conversations.create(NewSession(session_id=SESSION))
            yield made


def leases(around: World, *, wait: float = 5, waiting: int = 20, ttl: float = 30) -> Leases:
    return Leases(around.conversations, ttl_seconds=ttl, wait_seconds=wait, waiting=waiting)


async def test_messages_that_arrive_together_are_answered_one_after_the_other_in_order(around: World) -> None:
    line, inside, order = leases(around), 0, []
    entered = asyncio.Event()
    proceed = asyncio.Event()

    async def turn(number: int) -> None:
        nonlocal inside
        async with line.hold(SESSION):
            inside += 1
            assert inside == 1
            order.append(number)
            entered.set()
            await proceed.wait()
            inside -= 1

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(turn(number))
            await entered.wait()  # the first is inside: the others have to line up
        assert order == [0]
        proceed.set()
    assert order == [0, 1, 2, 3, 4]


async def test_the_lease_of_another_process_is_waited_for(around: World) -> None:
    here, there = leases(around), leases(around)
    async with asyncio.TaskGroup() as group, there.hold(SESSION) as held:
        waiting = group.create_task(take(here))
        await around.to_sessions.requests.until(f"POST /sessions/{SESSION}/lease", 3)  # it was refused at least once
        assert not waiting.done()
    assert waiting.result() > held


async def take(line: Leases) -> int:
    async with line.hold(SESSION) as token:
        return token


async def test_waiting_ends_with_a_conflict_that_says_when_to_come_back(around: World) -> None:
    async with leases(around).hold(SESSION):
        with pytest.raises(SessionBusy) as busy:
            await take(leases(around, wait=0.05))
    assert busy.value.retry_after


async def test_waiting_in_the_line_of_this_process_ends_as_well(around: World) -> None:
    line = leases(around, wait=0.05)
    async with line.hold(SESSION):
        with pytest.raises(SessionBusy):
            await take(line)


async def test_one_more_than_may_wait_is_refused_at_once(around: World) -> None:
    line = leases(around, waiting=0, wait=600)
    async with line.hold(SESSION), asyncio.timeout(5):
        with pytest.raises(SessionBusy):
            await take(line)
    assert await take(line)


async def test_a_lease_is_renewed_while_the_turn_runs(around: World) -> None:
    async with leases(around, ttl=0.03).hold(SESSION) as token:
        await around.to_sessions.requests.until(f"PUT /sessions/{SESSION}/lease/renew", 4)
        await around.conversations.turn(SESSION, NewTurn(turn_id="turn-1", fencing_token=token))


async def test_a_lease_is_given_back_also_when_the_turn_fails(around: World) -> None:
    with pytest.raises(ValueError, match="broken"):
        async with leases(around).hold(SESSION):
            raise ValueError("broken")
    assert await take(leases(around, wait=0))


async def test_sessions_that_cannot_be_told_that_it_is_over_do_not_spoil_the_turn(around: World) -> None:
    async with leases(around).hold(SESSION):
        around.to_sessions.cut = True


async def test_an_unknown_session_and_another_users_are_not_there(around: World) -> None:
    with pytest.raises(SessionNotFound):
        await leases(around).hold("sess-unknown").__aenter__()
    with acting_as(Principal("acme", "bob")), pytest.raises(SessionNotFound):
        await leases(around).hold(SESSION).__aenter__()


async def test_an_archived_session_is_refused_as_such(around: World) -> None:
    await around.conversations.delete(SESSION)
    with pytest.raises(Conflict) as refused:
        await take(leases(around))
    assert refused.value.code == "session_archived"
    assert not isinstance(refused.value, NotFound)
