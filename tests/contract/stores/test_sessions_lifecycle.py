"""The life of a session on every store: it expires by the clock, is resumed, cleaned up, archived and purged."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bureau_contracts.sessions import (
    AcquireLease,
    CleanUpSessions,
    Context,
    ForkSession,
    Lifecycle,
    NewMessage,
    NewSession,
    NewTurn,
    RewindSession,
    Role,
    SessionStatus,
)
from kit.errors import Forbidden
from kit.identity import TENANT_WIDE, Principal
from services.sessions.branching import Branching
from services.sessions.errors import SessionArchived, SessionExpired, TooManySessions
from services.sessions.lifecycle import LEGAL, Aging
from services.sessions.limits import Limits
from services.sessions.record import Listing, Position
from services.sessions.retention import Retention
from services.sessions.service import SessionsService
from services.sessions.store import SessionStore
from services.sessions.store_aging import AgingSessionStore
from services.sessions.upkeep import Upkeep
from tests.fakes import FixedClock
from tests.session_stores import ADAPTERS, make_store, opened

ANNA, BEN = Principal("acme", "anna"), Principal("acme", "ben")
STRANGER = Principal("globex", "anna")
OPERATOR = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))
DAY = 24 * 3600
HELLO = NewMessage(role=Role.USER, content="hello")


class House:
    """A store in which sessions expire after thirty days."""

    def __init__(self, store: SessionStore) -> None:
        self.clock, aging = FixedClock(), Aging(timedelta(days=30))
        self.behind, self.store = store, AgingSessionStore(store, aging, self.clock)
        self.limits = Limits(sessions_per_user=3)
        self.sessions = SessionsService(self.store, self.clock, self.limits)
        self.branching = Branching(self.store, self.clock, self.limits)
        self.retention = Retention(self.store, self.clock, aging, self.limits)
        self.upkeep = Upkeep(store, self.clock, aging, cleanup_days=7, purge_archived_days=90)

    async def create(self, session_id: str, principal: Principal = ANNA, *, done: bool = False) -> None:
        await self.sessions.create(principal, NewSession(session_id=session_id))
        if done:
            await self.sessions.set_status(principal, session_id, SessionStatus.COMPLETED, None)

    async def lifecycle(self, session_id: str, principal: Principal = ANNA) -> Lifecycle:
        return (await self.sessions.view(principal, session_id, 0)).session.lifecycle

    async def listed(self, lifecycle: Lifecycle, principal: Principal = ANNA) -> list[str]:
        """Page by page, each of one."""
        found, after = list[str](), None
        while page := await self.store.page(principal.reach(), Listing(lifecycle), after=after, limit=1):
            found.append(page[0].session_id)
            assert page[0].lifecycle is lifecycle
            after = Position(page[0].last_activity, page[0].session_id)
        return found


@pytest.fixture(params=ADAPTERS)
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with opened(make_store(request.param, request)) as store:
        yield House(store)


def test_every_lifecycle_is_in_the_table_and_archived_is_for_good() -> None:
    assert LEGAL.keys() == set(Lifecycle)
    assert LEGAL[Lifecycle.ARCHIVED] == frozenset()
    assert all(state not in following for state, following in LEGAL.items())


async def test_a_session_says_when_it_expires_and_activity_puts_it_off(house: House) -> None:
    await house.create("sess-1")
    session = (await house.sessions.view(ANNA, "sess-1", 0)).session
    assert session.expires_at == house.clock.now() + timedelta(days=30)
    house.clock.move(DAY)
    await house.sessions.add_message(ANNA, "sess-1", HELLO)
    page = await house.sessions.page(ANNA, user_id=None, listing=Listing(), limit=10, cursor=None)
    assert [each.expires_at for each in page.sessions] == [house.clock.now() + timedelta(days=30)]
    await house.sessions.archive(ANNA, "sess-1")
    assert (await house.sessions.view(ANNA, "sess-1", 0)).session.expires_at is None


async def test_a_session_expires_at_the_very_moment_that_it_says(house: House) -> None:
    await house.create("sess-1")
    house.clock.move(30 * DAY - 0.000001)
    assert await house.lifecycle("sess-1") is Lifecycle.ACTIVE
    assert await house.listed(Lifecycle.ACTIVE) == ["sess-1"]
    assert await house.listed(Lifecycle.EXPIRED) == []
    house.clock.move(0.000001)
    assert await house.lifecycle("sess-1") is Lifecycle.EXPIRED
    assert await house.listed(Lifecycle.ACTIVE) == []
    assert await house.listed(Lifecycle.EXPIRED) == ["sess-1"]


@pytest.mark.parametrize("swept", [False, True], ids=["before the sweep", "after the sweep"])
async def test_an_expired_session_is_read_and_forked_and_not_written(house: House, swept: bool) -> None:
    await house.create("sess-1")
    await house.sessions.add_message(ANNA, "sess-1", HELLO)
    house.clock.move(31 * DAY)
    if swept:
        assert await house.upkeep.expire(None) == {"sessions_expired": 1}
    before = await house.sessions.view(ANNA, "sess-1", 10)
    for write in (
        house.sessions.add_message(ANNA, "sess-1", HELLO),
        house.sessions.store_turn(ANNA, "sess-1", NewTurn(turn_id="turn-1")),
        house.sessions.set_context(ANNA, "sess-1", Context(last_query="x")),
        house.sessions.set_state(ANNA, "sess-1", {"user:a": 1}),
        house.sessions.set_status(ANNA, "sess-1", SessionStatus.PLANNING, None),
        house.sessions.acquire_lease(ANNA, "sess-1", AcquireLease(holder="me")),
        house.branching.rewind(ANNA, "sess-1", RewindSession(to_seq=0)),
    ):
        with pytest.raises(SessionExpired):
            await write
    assert await house.sessions.view(ANNA, "sess-1", 10) == before
    await house.branching.fork(ANNA, "sess-1", ForkSession(session_id="sess-2"))
    assert await house.lifecycle("sess-2") is Lifecycle.ACTIVE
    assert await house.lifecycle("sess-1") is Lifecycle.EXPIRED


@pytest.mark.parametrize("swept", [False, True], ids=["before the sweep", "after the sweep"])
async def test_an_expired_session_is_resumed_or_archived(house: House, swept: bool) -> None:
    await house.create("sess-1")
    await house.create("sess-2")
    house.clock.move(31 * DAY)
    if swept:
        await house.upkeep.expire(None)
    resumed = await house.retention.resume(ANNA, "sess-1")
    assert resumed.expires_at == house.clock.now() + timedelta(days=30)
    assert (await house.sessions.add_message(ANNA, "sess-1", HELLO)).seq == 1
    await house.sessions.archive(ANNA, "sess-2")
    with pytest.raises(SessionArchived):
        await house.retention.resume(ANNA, "sess-2")
    assert await house.listed(Lifecycle.ACTIVE) == ["sess-1"]
    assert await house.listed(Lifecycle.ARCHIVED) == ["sess-2"]


async def test_resuming_an_active_session_changes_nothing(house: House) -> None:
    await house.create("sess-1")
    before = await house.sessions.view(ANNA, "sess-1", 0)
    house.clock.move(DAY)
    await house.retention.resume(ANNA, "sess-1")
    assert await house.sessions.view(ANNA, "sess-1", 0) == before


async def test_the_sweep_writes_down_what_was_shown_already_and_nothing_else(house: House) -> None:
    await house.create("sess-1")
    await house.create("sess-9", STRANGER)
    house.clock.move(29 * DAY)
    await house.create("sess-2")
    house.clock.move(2 * DAY)
    before = [await house.sessions.view(ANNA, each, 0) for each in ("sess-1", "sess-2")]
    assert await house.upkeep.expire("nobody") == {"sessions_expired": 0}
    assert await house.upkeep.expire("globex") == {"sessions_expired": 1}
    assert await house.upkeep.expire(None) == {"sessions_expired": 1}
    assert await house.upkeep.expire(None) == {"sessions_expired": 0}
    assert [await house.sessions.view(ANNA, each, 0) for each in ("sess-1", "sess-2")] == before
    assert (await house.behind.get(ANNA.reach(), "sess-1")).session.lifecycle is Lifecycle.EXPIRED
    assert (await house.behind.get(ANNA.reach(), "sess-2")).session.lifecycle is Lifecycle.ACTIVE


async def test_a_list_of_expired_ones_mixes_those_that_were_swept_and_those_that_were_not(house: House) -> None:
    for number in (1, 2, 3):
        await house.create(f"sess-{number}")
        house.clock.move(DAY)
    house.clock.move(28 * DAY)
    await house.upkeep.expire(None)
    house.clock.move(2 * DAY)
    assert await house.listed(Lifecycle.EXPIRED) == ["sess-3", "sess-2", "sess-1"]
    assert await house.listed(Lifecycle.ACTIVE) == []


async def test_a_clock_that_jumps_back_does_no_harm(house: House) -> None:
    await house.create("sess-1", done=True)
    house.clock.move(-60 * DAY)
    for duty in house.upkeep.duties():
        assert not any((await duty(None)).values())
    assert await house.lifecycle("sess-1") is Lifecycle.ACTIVE
    assert (await house.sessions.add_message(ANNA, "sess-1", HELLO)).seq == 1


async def test_completed_sessions_are_archived_when_they_lie_idle(house: House) -> None:
    await house.create("sess-1", done=True)
    await house.create("sess-2")
    house.clock.move(5 * DAY)
    await house.create("sess-3", done=True)
    house.clock.move(3 * DAY)
    assert (await house.retention.clean_up(ANNA, CleanUpSessions(dry_run=True))).sessions == 1
    assert await house.lifecycle("sess-1") is Lifecycle.ACTIVE
    assert (await house.retention.clean_up(ANNA, CleanUpSessions())).sessions == 1
    assert (await house.retention.clean_up(ANNA, CleanUpSessions())).sessions == 0
    found = [await house.lifecycle(f"sess-{number}") for number in (1, 2, 3)]
    assert found == [Lifecycle.ARCHIVED, Lifecycle.ACTIVE, Lifecycle.ACTIVE]


async def test_a_clean_up_may_purge_and_finds_expired_ones_too(house: House) -> None:
    await house.create("sess-1", done=True)
    house.clock.move(31 * DAY)
    await house.create("sess-2", done=True)
    assert (await house.retention.clean_up(ANNA, CleanUpSessions(purge=True))).sessions == 1
    assert await house.behind.count(ANNA.reach(), Listing(Lifecycle.ARCHIVED), limit=10) == 0
    assert await house.listed(Lifecycle.ACTIVE) == ["sess-2"]


async def test_a_session_that_somebody_holds_is_not_cleaned_up(house: House) -> None:
    await house.create("sess-1", done=True)
    house.clock.move(8 * DAY)
    token = (await house.sessions.acquire_lease(ANNA, "sess-1", AcquireLease(holder="me"))).fencing_token
    assert (await house.retention.clean_up(ANNA, CleanUpSessions(purge=True))).sessions == 0
    await house.sessions.release_lease(ANNA, "sess-1", token)
    assert (await house.retention.clean_up(ANNA, CleanUpSessions(purge=True))).sessions == 1


async def test_one_cleans_up_ones_own_and_an_operator_everybodys(house: House) -> None:
    for session_id, principal in (("sess-1", ANNA), ("sess-2", BEN), ("sess-9", STRANGER)):
        await house.create(session_id, principal, done=True)
    house.clock.move(8 * DAY)
    with pytest.raises(Forbidden):
        await house.retention.clean_up(ANNA, CleanUpSessions(user_id="ben"))
    assert (await house.retention.clean_up(ANNA, CleanUpSessions())).sessions == 1
    assert await house.lifecycle("sess-2", BEN) is Lifecycle.ACTIVE
    assert (await house.retention.clean_up(OPERATOR, CleanUpSessions(user_id="anna"))).sessions == 0
    assert (await house.retention.clean_up(OPERATOR, CleanUpSessions())).sessions == 1
    assert await house.lifecycle("sess-9", STRANGER) is Lifecycle.ACTIVE


async def test_the_sweep_archives_what_is_done_and_purges_what_was_archived_long_ago(house: House) -> None:
    await house.create("sess-1", done=True)
    await house.create("sess-2")
    await house.create("sess-9", STRANGER, done=True)
    house.clock.move(8 * DAY)
    assert await house.upkeep.clean_up(None) == {"sessions_archived": 2}
    house.clock.move(89 * DAY)
    assert await house.upkeep.purge_archived(None) == {"sessions_purged": 0}
    house.clock.move(2 * DAY)
    assert await house.upkeep.purge_archived("acme") == {"sessions_purged": 1}
    assert await house.listed(Lifecycle.ARCHIVED) == []
    assert await house.listed(Lifecycle.EXPIRED) == ["sess-2"]
    assert await house.lifecycle("sess-9", STRANGER) is Lifecycle.ARCHIVED


async def test_sweeps_at_the_same_time_do_each_thing_once(house: House) -> None:
    limits = Limits()
    sessions = SessionsService(house.store, house.clock, limits)
    for number in range(20):
        await sessions.create(ANNA, NewSession(session_id=f"sess-{number}"))
        await sessions.set_status(ANNA, f"sess-{number}", SessionStatus.COMPLETED, None)
    house.clock.move(31 * DAY)
    expired = await asyncio.gather(*(house.upkeep.expire(None) for _ in range(4)))
    assert sum(each["sessions_expired"] for each in expired) == 20
    archived = await asyncio.gather(*(house.upkeep.clean_up(None) for _ in range(4)))
    assert sum(each["sessions_archived"] for each in archived) == 20
    house.clock.move(91 * DAY)
    purged = await asyncio.gather(*(house.upkeep.purge_archived(None) for _ in range(4)))
    assert sum(each["sessions_purged"] for each in purged) == 20


async def test_settings_of_zero_let_everything_lie(house: House) -> None:
    upkeep = Upkeep(house.behind, house.clock, Aging(None), cleanup_days=0, purge_archived_days=0)
    await house.create("sess-1", done=True)
    await house.create("sess-2")
    await house.sessions.archive(ANNA, "sess-2")
    house.clock.move(9999 * DAY)
    for duty in upkeep.duties():
        assert not any((await duty(None)).values())
    kept = (await house.behind.get(ANNA.reach(), "sess-1")).session
    assert Aging(None).as_of(kept, house.clock.now()).lifecycle is Lifecycle.ACTIVE
    assert Aging(None).as_of(kept, house.clock.now()).expires_at is None


async def test_a_user_has_so_many_active_sessions_and_no_more(house: House) -> None:
    for number in (1, 2, 3):
        await house.create(f"sess-{number}")
    for principal, session_id in ((BEN, "sess-4"), (STRANGER, "sess-1")):
        await house.create(session_id, principal)
    with pytest.raises(TooManySessions, match="3 active sessions"):
        await house.create("sess-5")
    with pytest.raises(TooManySessions):
        await house.branching.fork(ANNA, "sess-1", ForkSession())
    await house.sessions.archive(ANNA, "sess-3")
    await house.create("sess-5")
    house.clock.move(31 * DAY)
    for number in (6, 7, 8):
        await house.create(f"sess-{number}")
    with pytest.raises(TooManySessions):
        await house.retention.resume(ANNA, "sess-1")
    assert await house.lifecycle("sess-1") is Lifecycle.EXPIRED


async def test_tenants_are_found_page_by_page(house: House) -> None:
    for tenant in ("a", "b", "b", "c"):
        await house.sessions.create(Principal(tenant, "x"), NewSession())
    assert await house.store.tenants(after="", limit=2) == ["a", "b"]
    assert await house.store.tenants(after="b", limit=2) == ["c"]
    assert await house.store.tenants(after="c", limit=2) == []
