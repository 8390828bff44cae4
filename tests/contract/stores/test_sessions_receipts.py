"""Idempotency keys on every store: what is sent twice is done once, and answered as the first time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from pydantic import BaseModel

from bureau_contracts.sessions import (
    AcquireLease,
    Context,
    ForkSession,
    NewInvocation,
    NewMessage,
    NewSession,
    NewTurn,
    RenewLease,
    RewindSession,
    Role,
    SessionStatus,
)
from kit.identity import Principal
from services.sessions.branching import Branching
from services.sessions.errors import IdempotencyKeyReused, LeaseLost, SessionExists, SessionNotFound
from services.sessions.lifecycle import Aging
from services.sessions.limits import Limits
from services.sessions.receipts import KEPT, Once, digest_of
from services.sessions.record import Listing
from services.sessions.retention import Retention
from services.sessions.service import SessionsService
from services.sessions.store import SessionStore
from services.sessions.upkeep import Upkeep
from tests.fakes import FixedClock
from tests.session_stores import ADAPTERS, make_store, opened

ANNA, BEN = Principal("acme", "anna"), Principal("acme", "ben")
KEY = "sess-1"
HELLO = NewMessage(role=Role.USER, content="hello")


class House:
    """One store, and what people do with it."""

    def __init__(self, store: SessionStore) -> None:
        self.store, self.clock = store, FixedClock()
        self.sessions, self.branching = SessionsService(store, self.clock), Branching(store, self.clock)
        self.retention = Retention(store, self.clock, Aging(None))

    async def whole(self, session_id: str = KEY) -> tuple[BaseModel, BaseModel, list[str]]:
        """All that is shown of a session, and which sessions there are."""
        view = await self.sessions.view(ANNA, session_id, 1000)
        listed = await self.store.page(ANNA.reach(), Listing(), after=None, limit=100)
        branches = await self.branching.list_branches(ANNA, session_id)
        return view, branches, sorted(session.session_id for session in listed)


@pytest.fixture(params=ADAPTERS)
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with opened(make_store(request.param, request)) as store:
        house = House(store)
        await house.sessions.create(ANNA, NewSession(session_id=KEY))
        await house.sessions.store_turn(ANNA, KEY, NewTurn(turn_id="turn-0", messages=[HELLO, HELLO]))
        yield house


Do = Callable[[House, Once], Awaitable[BaseModel]]
EVERY_WRITE: dict[str, Do] = {
    "create": lambda house, once: house.sessions.create(ANNA, NewSession(title="new"), once),
    "message": lambda house, once: house.sessions.add_message(ANNA, KEY, HELLO, once),
    "invocation": lambda house, once: house.sessions.track(
        ANNA, KEY, NewInvocation(agent_name="tickets", query="how many?"), once
    ),
    "turn": lambda house, once: house.sessions.store_turn(
        ANNA, KEY, NewTurn(turn_id="turn-1", messages=[HELLO], answer={"reply": "hi"}), once
    ),
    "context": lambda house, once: house.sessions.set_context(ANNA, KEY, Context(last_query="what?"), once),
    "state": lambda house, once: house.sessions.set_state(ANNA, KEY, {"a": 1, "user:b": [2]}, once),
    "status": lambda house, once: house.sessions.set_status(ANNA, KEY, SessionStatus.PLANNING, None, once),
    "lease": lambda house, once: house.sessions.acquire_lease(ANNA, KEY, AcquireLease(holder="me"), once),
    "archive": lambda house, once: house.sessions.archive(ANNA, KEY, once),
    "resume": lambda house, once: house.retention.resume(ANNA, KEY, once),
    "fork": lambda house, once: house.branching.fork(ANNA, KEY, ForkSession(at_seq=1), once),
    "rewind": lambda house, once: house.branching.rewind(ANNA, KEY, RewindSession(to_seq=1), once),
}
over_every_write = pytest.mark.parametrize("do", EVERY_WRITE.values(), ids=EVERY_WRITE.keys())


@over_every_write
async def test_the_same_write_under_the_same_key_gets_the_first_answer_and_changes_nothing(
    house: House, do: Do
) -> None:
    first = await do(house, Once("key", "digest"))
    before = await house.whole()
    house.clock.move(60)
    assert await do(house, Once("key", "digest")) == first
    assert await house.whole() == before


@over_every_write
async def test_a_key_that_stands_for_another_write_is_refused(house: House, do: Do) -> None:
    await do(house, Once("key", "digest"))
    before = await house.whole()
    with pytest.raises(IdempotencyKeyReused):
        await do(house, Once("key", "another digest"))
    assert await house.whole() == before


@over_every_write
async def test_of_32_callers_with_one_key_one_writes_and_all_get_its_answer(house: House, do: Do) -> None:
    before = await house.sessions.view(ANNA, KEY, 1000)
    answers = await asyncio.gather(*(do(house, Once("key", "digest")) for _ in range(32)))
    assert all(answer == answers[0] for answer in answers)
    after = await house.sessions.view(ANNA, KEY, 1000)
    assert after.session.version - before.session.version in (0, 1)
    assert len(after.conversation_history) - len(before.conversation_history) in (-1, 0, 1)
    assert len(after.agents_invoked) <= 1
    assert len(await house.store.page(ANNA.reach(), Listing(), after=None, limit=100)) <= 2


async def test_a_leases_renewal_and_release_are_done_once(house: House) -> None:
    token = (await house.sessions.acquire_lease(ANNA, KEY, AcquireLease(holder="me"))).fencing_token
    renewal = RenewLease(fencing_token=token, ttl_seconds=60)
    first = await house.sessions.renew_lease(ANNA, KEY, renewal, Once("renew", "1"))
    house.clock.move(10)
    assert await house.sessions.renew_lease(ANNA, KEY, renewal, Once("renew", "1")) == first
    released = await house.sessions.release_lease(ANNA, KEY, token, Once("release", "2"))
    assert await house.sessions.release_lease(ANNA, KEY, token, Once("release", "2")) == released
    with pytest.raises(LeaseLost):
        await house.sessions.release_lease(ANNA, KEY, token)


async def test_different_keys_are_different_writes(house: House) -> None:
    seqs = [(await house.sessions.add_message(ANNA, KEY, HELLO, Once(f"key-{n}", "digest"))).seq for n in range(3)]
    assert seqs == [3, 4, 5]


async def test_what_was_refused_may_be_tried_again_under_its_key(house: House) -> None:
    turn = NewTurn(turn_id="turn-1", messages=[HELLO], fencing_token=1)
    with pytest.raises(Exception, match="fencing token"):
        await house.sessions.store_turn(ANNA, KEY, turn, Once("key", "digest"))
    await house.sessions.acquire_lease(ANNA, KEY, AcquireLease(holder="me"))
    assert (await house.sessions.store_turn(ANNA, KEY, turn, Once("key", "digest"))).last_seq == 3


async def test_a_write_is_answered_again_after_its_session_was_archived(house: House) -> None:
    first = await house.sessions.add_message(ANNA, KEY, HELLO, Once("key", "digest"))
    await house.sessions.archive(ANNA, KEY)
    assert await house.sessions.add_message(ANNA, KEY, HELLO, Once("key", "digest")) == first


async def test_a_key_is_its_owners_own(house: House) -> None:
    annas = await house.sessions.create(ANNA, NewSession(), Once("key", "digest"))
    bens = await house.sessions.create(BEN, NewSession(), Once("key", "digest"))
    assert annas.session_id != bens.session_id
    with pytest.raises(SessionNotFound):
        await house.sessions.add_message(BEN, KEY, HELLO, Once("key", "digest"))


async def test_a_chosen_id_is_created_once_under_its_key_and_taken_without(house: House) -> None:
    new = NewSession(session_id="sess-2")
    first = await house.sessions.create(ANNA, new, Once("key", "digest"))
    assert await house.sessions.create(ANNA, new, Once("key", "digest")) == first
    for once in (None, Once("another key", "digest")):
        with pytest.raises(SessionExists):
            await house.sessions.create(ANNA, new, once)
    with pytest.raises(SessionExists):
        await house.sessions.create(BEN, new, Once("key", "digest"))


async def test_a_repeated_creation_is_answered_though_there_is_no_room_for_another(house: House) -> None:
    sessions = SessionsService(house.store, house.clock, Limits(sessions_per_user=2))
    branching = Branching(house.store, house.clock, Limits(sessions_per_user=3))
    created = await sessions.create(ANNA, NewSession(), Once("create", "1"))
    assert await sessions.create(ANNA, NewSession(), Once("create", "1")) == created
    forked = await branching.fork(ANNA, KEY, ForkSession(), Once("fork", "2"))
    assert await branching.fork(ANNA, KEY, ForkSession(), Once("fork", "2")) == forked


async def test_nothing_remembers_a_key_after_a_purge(house: House) -> None:
    await house.sessions.add_message(ANNA, KEY, HELLO, Once("key", "digest"))
    await house.sessions.purge(ANNA, KEY)
    with pytest.raises(SessionNotFound):
        await house.sessions.add_message(ANNA, KEY, HELLO, Once("key", "digest"))
    await house.sessions.create(ANNA, NewSession(session_id=KEY))
    assert (await house.sessions.add_message(ANNA, KEY, HELLO, Once("key", "other"))).seq == 1


async def test_old_receipts_are_removed_by_the_sweep_and_turns_stay(house: House) -> None:
    upkeep = Upkeep(house.store, house.clock, Aging(None), 0, 0)
    for number in range(3):
        await house.sessions.add_message(ANNA, KEY, HELLO, Once(f"old-{number}", "digest"))
    house.clock.move(KEPT.total_seconds() - 1)
    assert await upkeep.drop_receipts(None) == {"receipts_dropped": 0}
    house.clock.move(2)
    await house.sessions.add_message(ANNA, KEY, HELLO, Once("new", "digest"))
    assert await upkeep.drop_receipts("acme") == {}
    assert await upkeep.drop_receipts(None) == {"receipts_dropped": 3}
    assert (await house.sessions.add_message(ANNA, KEY, HELLO, Once("new", "digest"))).seq == 6
    assert (await house.sessions.add_message(ANNA, KEY, HELLO, Once("old-0", "digest"))).seq == 7
    assert (await house.sessions.stored_turn(ANNA, KEY, "turn-0")).last_seq == 2


async def test_receipts_are_removed_a_bounded_number_at_a_time(house: House) -> None:
    for number in range(5):
        await house.sessions.add_message(ANNA, KEY, HELLO, Once(f"key-{number}", "digest"))
    later = house.clock.now() + timedelta(days=2)
    assert [await house.store.drop_receipts(before=later, limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_digest_says_what_was_asked_and_not_in_which_order_its_keys_came() -> None:
    one = digest_of("POST", "/sessions", "", {"a": 1, "b": {"c": 2, "d": 3}})
    assert digest_of("POST", "/sessions", "", {"b": {"d": 3, "c": 2}, "a": 1}) == one
    others = [
        digest_of("PUT", "/sessions", "", {"a": 1, "b": {"c": 2, "d": 3}}),
        digest_of("POST", "/sessions/x", "", {"a": 1, "b": {"c": 2, "d": 3}}),
        digest_of("POST", "/sessions", "q=1", {"a": 1, "b": {"c": 2, "d": 3}}),
        digest_of("POST", "/sessions", "", {"a": "1", "b": {"c": 2, "d": 3}}),
        digest_of("POST", "/sessions", "", None),
    ]
    assert len({one, *others}) == 6
