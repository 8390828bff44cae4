"""Scopes of state on every store: whose a key is decides where it is seen, who may write it, and when it goes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bureau_contracts.sessions import ForkSession, NewMessage, NewSession, NewTurn, RewindSession, Role
from bureau_contracts.shapes import JsonObject
from kit.errors import Forbidden
from kit.identity import ADMIN, TENANT_WIDE, Owner, Principal
from services.sessions.branching import Branching
from services.sessions.errors import SessionNotFound
from services.sessions.lifecycle import Aging
from services.sessions.record import Listing
from services.sessions.retention import Retention
from services.sessions.scopes import WRITE_APP
from services.sessions.service import SessionsService
from services.sessions.store import SessionStore
from tests.fakes import FixedClock
from tests.session_stores import ADAPTERS, CACHED, LASTING, make_store, opened

ANNA, BEN = Principal("acme", "anna"), Principal("acme", "ben")
STRANGER = Principal("globex", "anna", scopes=frozenset({ADMIN}))
OPERATOR = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))
PUBLISHER = Principal("acme", "anna", scopes=frozenset({WRITE_APP}))


class House:
    """One store with two sessions of Anna's, one of Ben's, and one in another tenant."""

    def __init__(self, store: SessionStore) -> None:
        self.store, clock = store, FixedClock()
        self.sessions, self.branching = SessionsService(store, clock), Branching(store, clock)
        self.retention = Retention(store, clock, Aging(None))

    async def fill(self) -> None:
        for principal, number in ((ANNA, 1), (ANNA, 2), (BEN, 3), (STRANGER, 4)):
            await self.sessions.create(principal, NewSession(session_id=f"sess-{number}"))

    async def state(self, principal: Principal, session_id: str) -> JsonObject:
        """As all reads of one session show it."""
        state = (await self.sessions.state(principal, session_id)).state
        assert (await self.sessions.view(principal, session_id, 10)).session.state == state
        return state


@pytest.fixture(params=ADAPTERS)
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with opened(make_store(request.param, request)) as store:
        house = House(store)
        await house.fill()
        yield house


async def test_a_users_keys_are_seen_in_all_of_that_users_sessions_and_no_others(house: House) -> None:
    answer = await house.sessions.set_state(ANNA, "sess-1", {"user:lang": "de", "own": 1, "temp:x": 2})
    assert answer.state == {"user:lang": "de", "own": 1}
    assert await house.state(ANNA, "sess-1") == {"user:lang": "de", "own": 1}
    assert await house.state(ANNA, "sess-2") == {"user:lang": "de"}
    assert await house.state(BEN, "sess-3") == {}
    assert await house.state(STRANGER, "sess-4") == {}


async def test_an_operator_writes_the_keys_of_the_user_whose_session_it_is(house: House) -> None:
    await house.sessions.set_state(OPERATOR, "sess-1", {"user:lang": "fr"})
    assert await house.state(ANNA, "sess-2") == {"user:lang": "fr"}
    assert await house.state(BEN, "sess-3") == {}


async def test_everybodys_keys_are_seen_in_the_tenant_and_need_a_scope_to_be_written(house: House) -> None:
    for change in ({"app:motd": "hi"}, {"app:motd": None}, {"own": 1, "app:motd": "hi"}):
        with pytest.raises(Forbidden) as refused:
            await house.sessions.set_state(ANNA, "sess-1", change)
        assert refused.value.code == "scope_missing"
        with pytest.raises(Forbidden):
            await house.sessions.store_turn(ANNA, "sess-1", NewTurn(turn_id="turn-1", state=change))
        with pytest.raises(Forbidden):
            await house.sessions.create(ANNA, NewSession(state=change))
    assert await house.state(ANNA, "sess-1") == {}
    await house.sessions.set_state(PUBLISHER, "sess-1", {"app:motd": "hi"})
    await house.sessions.set_state(OPERATOR, "sess-3", {"app:by": "olga"})
    for principal, session_id in ((ANNA, "sess-1"), (ANNA, "sess-2"), (BEN, "sess-3")):
        assert await house.state(principal, session_id) == {"app:motd": "hi", "app:by": "olga"}
    assert await house.state(STRANGER, "sess-4") == {}


async def test_a_null_deletes_a_shared_key(house: House) -> None:
    await house.sessions.set_state(PUBLISHER, "sess-1", {"user:a": 1, "user:b": 2, "app:c": 3})
    answer = await house.sessions.set_state(PUBLISHER, "sess-2", {"user:a": None, "app:c": None})
    assert answer.state == {"user:b": 2}
    assert await house.state(ANNA, "sess-1") == {"user:b": 2}


async def test_a_turn_and_a_new_session_may_set_shared_keys(house: House) -> None:
    turn = NewTurn(turn_id="turn-1", state={"user:a": 1, "temp:x": 1, "own": 2})
    await house.sessions.store_turn(ANNA, "sess-1", turn)
    await house.sessions.create(PUBLISHER, NewSession(session_id="sess-5", state={"user:b": 2, "app:c": 3, "d": None}))
    assert await house.state(ANNA, "sess-2") == {"user:a": 1, "user:b": 2, "app:c": 3}
    assert await house.state(BEN, "sess-3") == {"app:c": 3}


async def test_a_list_shows_the_sessions_own_state_alone(house: House) -> None:
    await house.sessions.set_state(PUBLISHER, "sess-1", {"user:a": 1, "app:b": 2, "own": 3})
    listed = await house.store.page(ANNA.reach(), Listing(), after=None, limit=10)
    assert {session.session_id: session.state for session in listed} == {"sess-1": {"own": 3}, "sess-2": {}}


async def test_keys_that_many_sessions_write_at_once_are_all_there(house: House) -> None:
    await asyncio.gather(
        *(
            house.sessions.set_state(PUBLISHER, f"sess-{1 + n % 2}", {f"user:{n}": n, f"app:{n}": n, f"own-{n}": n})
            for n in range(32)
        )
    )
    shared = {f"{scope}:{n}": n for scope in ("user", "app") for n in range(32)}
    for number in (1, 2):
        own = {f"own-{n}": n for n in range(32) if 1 + n % 2 == number}
        assert await house.state(ANNA, f"sess-{number}") == {**shared, **own}


async def test_what_was_shared_is_not_undone_by_a_rewind_and_seen_in_a_fork(house: House) -> None:
    hello = NewMessage(role=Role.USER, content="hello")
    await house.sessions.add_message(ANNA, "sess-1", hello)
    turn = NewTurn(turn_id="turn-1", messages=[hello], state={"own": 1, "user:a": 1})
    await house.sessions.store_turn(ANNA, "sess-1", turn)
    await house.branching.rewind(ANNA, "sess-1", RewindSession(to_seq=1))
    assert await house.state(ANNA, "sess-1") == {"user:a": 1}
    await house.branching.fork(ANNA, "sess-1", ForkSession(session_id="sess-6"))
    assert await house.state(ANNA, "sess-6") == {"user:a": 1}


async def test_a_refused_turn_changes_no_shared_key(house: House) -> None:
    refused = NewTurn(turn_id="turn-1", state={"user:a": 1}, expected_version=99)
    with pytest.raises(Exception, match="version"):
        await house.sessions.store_turn(ANNA, "sess-1", refused)
    assert await house.state(ANNA, "sess-2") == {}


@pytest.mark.parametrize("adapter", [*LASTING, *CACHED])
async def test_what_another_process_wrote_or_erased_is_in_the_next_answer(
    adapter: str, request: pytest.FixtureRequest
) -> None:
    async with opened(make_store(adapter, request)) as one, opened(make_store(adapter, request)) as two:
        here, there = SessionsService(one, FixedClock()), SessionsService(two, FixedClock())
        for session_id in ("sess-1", "sess-2"):
            await here.create(ANNA, NewSession(session_id=session_id))
        await here.set_state(ANNA, "sess-1", {"user:a": 1})
        assert (await there.set_state(ANNA, "sess-2", {"user:b": 2})).state == {"user:a": 1, "user:b": 2}
        assert (await here.set_state(ANNA, "sess-1", {"own": 1})).state == {"own": 1, "user:a": 1, "user:b": 2}
        await two.forget_shared_state(Owner("acme", "anna"))
        assert (await here.set_state(ANNA, "sess-1", {"own": 2})).state == {"own": 2}
        await here.set_state(ANNA, "sess-1", {"user:a": 3})
        await one.forget_shared_state(Owner("acme", "anna"))
        assert (await here.set_state(ANNA, "sess-1", {"own": 4})).state == {"own": 4}


async def test_a_users_keys_outlive_a_purged_session(house: House) -> None:
    await house.sessions.set_state(ANNA, "sess-1", {"user:a": 1})
    await house.sessions.purge(ANNA, "sess-1")
    assert await house.state(ANNA, "sess-2") == {"user:a": 1}


async def test_erasing_a_person_takes_all_of_that_persons_and_nothing_of_others(house: House) -> None:
    await house.sessions.set_state(PUBLISHER, "sess-1", {"user:a": 1, "app:b": 2})
    await house.sessions.set_state(BEN, "sess-3", {"user:a": 3})
    await house.sessions.archive(ANNA, "sess-2")
    await house.branching.fork(ANNA, "sess-2", ForkSession(session_id="sess-7"))
    erased = await house.retention.erase(ANNA, "anna")
    assert (erased.sessions, erased.user_state) == (3, True)
    for session_id in ("sess-1", "sess-2", "sess-7"):
        with pytest.raises(SessionNotFound):
            await house.sessions.state(OPERATOR, session_id)
    assert await house.state(BEN, "sess-3") == {"user:a": 3, "app:b": 2}
    await house.sessions.create(ANNA, NewSession(session_id="sess-1"))
    assert await house.state(ANNA, "sess-1") == {"app:b": 2}
    assert await house.state(STRANGER, "sess-4") == {}


async def test_erasing_again_finds_nothing(house: House) -> None:
    await house.retention.erase(OPERATOR, "anna")
    again = await house.retention.erase(OPERATOR, "anna")
    assert (again.sessions, again.user_state) == (0, False)


async def test_only_oneself_or_an_operator_of_the_tenant_erases_a_person(house: House) -> None:
    with pytest.raises(Forbidden):
        await house.retention.erase(BEN, "anna")
    erased = await house.retention.erase(STRANGER, "ben")
    assert (erased.sessions, erased.user_state) == (0, False)
    assert await house.state(BEN, "sess-3") == {}
    assert (await house.retention.erase(OPERATOR, "anna")).sessions == 2


async def test_erasing_goes_on_beyond_one_page(house: House) -> None:
    for number in range(120):
        await house.sessions.create(BEN, NewSession(session_id=f"sess-b{number}"))
    assert (await house.retention.erase(BEN, "ben")).sessions == 121
    assert await house.store.page(BEN.reach(), Listing(), after=None, limit=10) == []
    assert len(await house.store.page(ANNA.reach(), Listing(), after=None, limit=10)) == 2
