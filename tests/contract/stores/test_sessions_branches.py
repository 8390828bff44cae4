"""Fork and rewind on every store: nothing is copied, nothing destroyed, and nothing shown that should not be."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bureau_contracts.sessions import (
    AcquireLease,
    Context,
    ForkSession,
    NewMessage,
    NewSession,
    NewTurn,
    RewindSession,
    Role,
    SessionExport,
)
from kit.identity import Principal
from services.sessions.app import session_rows
from services.sessions.branching import Branching
from services.sessions.errors import (
    BranchNotFound,
    NoSuchMessage,
    SessionArchived,
    SessionExists,
    SessionNotFound,
    StaleWriter,
)
from services.sessions.record import Listing
from services.sessions.service import SessionsService
from services.sessions.store import SessionStore
from services.sessions.transferring import Transferring
from tests.fakes import FixedClock
from tests.session_rows import rows_left
from tests.session_stores import ADAPTERS, make_store, opened

ANNA, BEN = Principal("acme", "anna"), Principal("acme", "ben")


class House:
    """One store, and what people do with it."""

    def __init__(self, store: SessionStore) -> None:
        clock = FixedClock()
        self.store = store
        self.transferring = Transferring(store, session_rows(store), clock)
        self.sessions, self.branching = SessionsService(store, clock), Branching(store, clock)

    async def create(self, session_id: str = "sess-1", messages: int = 0) -> None:
        await self.sessions.create(ANNA, NewSession(session_id=session_id))
        await self.say(session_id, *(f"{session_id} {number}" for number in range(1, messages + 1)))

    async def say(self, session_id: str, *texts: str) -> None:
        for text in texts:
            await self.sessions.add_message(ANNA, session_id, NewMessage(role=Role.USER, content=text))

    async def shows(self, session_id: str, branch: int | None = None) -> list[str]:
        """Read from the front in pages of two and from the back whole; both must agree."""
        front, after = list[str](), 0
        while True:
            page = await self.sessions.history(ANNA, session_id, before=None, after=after, limit=2, branch=branch)
            assert [message.seq for message in page.messages] == list(range(after + 1, after + 1 + len(page.messages)))
            front += [str(message.content) for message in page.messages]
            if page.next_after is None:
                break
            after = page.next_after
        back = await self.sessions.history(ANNA, session_id, before=None, after=None, limit=200, branch=branch)
        assert [str(message.content) for message in back.messages] == front
        if branch is None:
            view = await self.sessions.view(ANNA, session_id, 200)
            assert [str(message.content) for message in view.conversation_history] == front
            assert view.session.message_count == len(front)
        return front

    async def fork(self, session_id: str, to: str, at_seq: int | None = None, branch: int | None = None) -> None:
        await self.branching.fork(ANNA, session_id, ForkSession(session_id=to, at_seq=at_seq, branch=branch))

    async def rewind(self, session_id: str, to_seq: int) -> None:
        await self.branching.rewind(ANNA, session_id, RewindSession(to_seq=to_seq))


@pytest.fixture(params=ADAPTERS)
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with opened(make_store(request.param, request)) as store:
        yield House(store)


async def test_a_fork_shows_what_was_said_until_then_and_goes_its_own_way(house: House) -> None:
    await house.create(messages=5)
    await house.fork("sess-1", "sess-2", at_seq=3)
    await house.say("sess-1", "on the old way")
    await house.say("sess-2", "on the new way", "and on")
    assert await house.shows("sess-2") == ["sess-1 1", "sess-1 2", "sess-1 3", "on the new way", "and on"]
    assert await house.shows("sess-1") == [*(f"sess-1 {n}" for n in range(1, 6)), "on the old way"]
    session = (await house.sessions.view(ANNA, "sess-2", 0)).session
    assert (session.forked_from, session.message_count) == ("sess-1", 5)


async def test_forks_of_forks_and_rewinds_show_each_its_own(house: House) -> None:
    await house.create(messages=4)
    await house.fork("sess-1", "sess-2", at_seq=2)
    await house.say("sess-2", "b3", "b4")
    await house.fork("sess-2", "sess-3", at_seq=3)
    await house.say("sess-3", "c4", "c5")
    await house.rewind("sess-3", 1)
    await house.say("sess-3", "d2")
    await house.rewind("sess-2", 3)
    await house.fork("sess-3", "sess-4")
    assert await house.shows("sess-1") == ["sess-1 1", "sess-1 2", "sess-1 3", "sess-1 4"]
    assert await house.shows("sess-2") == ["sess-1 1", "sess-1 2", "b3"]
    assert await house.shows("sess-3") == ["sess-1 1", "d2"]
    assert await house.shows("sess-3", branch=0) == ["sess-1 1", "sess-1 2", "b3", "c4", "c5"]
    assert await house.shows("sess-4") == ["sess-1 1", "d2"]


async def test_a_rewind_keeps_what_came_after_on_a_branch_that_can_be_forked(house: House) -> None:
    await house.create(messages=3)
    await house.rewind("sess-1", 1)
    await house.say("sess-1", "again 2")
    await house.rewind("sess-1", 2)
    await house.say("sess-1", "again 3")
    assert await house.shows("sess-1") == ["sess-1 1", "again 2", "again 3"]
    assert await house.shows("sess-1", branch=0) == ["sess-1 1", "sess-1 2", "sess-1 3"]
    listed = (await house.branching.list_branches(ANNA, "sess-1")).branches
    assert [(each.branch, each.message_count, each.left_at is None) for each in listed] == [(1, 3, True), (0, 3, False)]
    await house.fork("sess-1", "sess-2", branch=0)
    await house.say("sess-2", "after all")
    assert await house.shows("sess-2") == ["sess-1 1", "sess-1 2", "sess-1 3", "after all"]


async def test_state_and_context_go_back_with_the_messages(house: House) -> None:
    await house.create()
    for number in (1, 2, 3):
        turn = NewTurn(
            turn_id=f"turn-{number}",
            messages=[NewMessage(role=Role.USER, content=str(number))],
            state={"step": number, f"only {number}": True, "temp:x": 1},
            context=Context(last_query=f"query {number}"),
        )
        await house.sessions.store_turn(ANNA, "sess-1", turn)
    await house.sessions.set_state(ANNA, "sess-1", {"only 1": None, "late": "yes"})

    async def state_of(session_id: str) -> tuple[object, str | None]:
        context = await house.sessions.context(ANNA, session_id)
        return (await house.sessions.state(ANNA, session_id)).state, context.last_query

    now = ({"step": 3, "only 2": True, "only 3": True, "late": "yes"}, "query 3")
    assert await state_of("sess-1") == now
    await house.fork("sess-1", "sess-2", at_seq=2)
    assert await state_of("sess-2") == ({"step": 2, "only 1": True, "only 2": True}, "query 2")
    await house.rewind("sess-1", 1)
    assert await state_of("sess-1") == ({"step": 1, "only 1": True}, "query 1")
    await house.fork("sess-1", "sess-3", branch=0)
    assert await state_of("sess-3") == now, "a branch that was left keeps the state it had"
    await house.fork("sess-1", "sess-4", branch=0, at_seq=2)
    assert await state_of("sess-4") == ({"step": 2, "only 1": True, "only 2": True}, "query 2")
    await house.rewind("sess-2", 1)
    assert await state_of("sess-2") == ({"step": 1, "only 1": True}, "query 1"), "back beyond where it forked"
    await house.rewind("sess-1", 0)
    assert await state_of("sess-1") == ({}, None)


async def test_going_back_to_where_one_is_changes_nothing(house: House) -> None:
    await house.create(messages=2)
    before = await house.sessions.view(ANNA, "sess-1", 10)
    await house.rewind("sess-1", 2)
    assert await house.sessions.view(ANNA, "sess-1", 10) == before


async def test_what_is_not_there_cannot_be_gone_back_to(house: House) -> None:
    await house.create(messages=2)
    with pytest.raises(NoSuchMessage):
        await house.rewind("sess-1", 3)
    with pytest.raises(NoSuchMessage):
        await house.fork("sess-1", "sess-2", at_seq=3)
    with pytest.raises(BranchNotFound):
        await house.fork("sess-1", "sess-2", branch=1)
    with pytest.raises(BranchNotFound):
        await house.shows("sess-1", branch=7)
    with pytest.raises(SessionNotFound):
        await house.shows("sess-2")
    assert await house.shows("sess-1") == ["sess-1 1", "sess-1 2"]


async def test_a_fork_under_an_id_that_is_taken_changes_nothing(house: House) -> None:
    await house.create(messages=2)
    await house.create("sess-2", messages=1)
    with pytest.raises(SessionExists):
        await house.fork("sess-1", "sess-2")
    assert await house.shows("sess-2") == ["sess-2 1"]


async def test_nobody_else_forks_or_rewinds(house: House) -> None:
    await house.create(messages=2)
    with pytest.raises(SessionNotFound):
        await house.branching.fork(BEN, "sess-1", ForkSession())
    with pytest.raises(SessionNotFound):
        await house.branching.rewind(BEN, "sess-1", RewindSession(to_seq=1))
    with pytest.raises(SessionNotFound):
        await house.branching.list_branches(BEN, "sess-1")
    assert await house.shows("sess-1") == ["sess-1 1", "sess-1 2"]


async def test_a_rewind_needs_the_lease_as_a_turn_does(house: House) -> None:
    await house.create(messages=2)
    lease = await house.sessions.acquire_lease(ANNA, "sess-1", AcquireLease(holder="writer"))
    with pytest.raises(StaleWriter):
        await house.rewind("sess-1", 1)
    await house.branching.rewind(ANNA, "sess-1", RewindSession(to_seq=1, fencing_token=lease.fencing_token))
    assert await house.shows("sess-1") == ["sess-1 1"]


async def test_an_archived_session_can_be_forked_and_not_rewound(house: House) -> None:
    await house.create(messages=2)
    await house.sessions.archive(ANNA, "sess-1")
    with pytest.raises(SessionArchived):
        await house.rewind("sess-1", 1)
    await house.fork("sess-1", "sess-2")
    await house.say("sess-2", "goes on")
    assert await house.shows("sess-2") == ["sess-1 1", "sess-1 2", "goes on"]


async def test_what_a_fork_shows_outlives_the_purge_of_its_source_and_nothing_else_does(house: House) -> None:
    await house.create(messages=3)
    await house.fork("sess-1", "sess-2", at_seq=2)
    await house.fork("sess-2", "sess-3", at_seq=1)
    await house.sessions.purge(ANNA, "sess-1")
    assert await house.shows("sess-2") == ["sess-1 1", "sess-1 2"]
    await house.sessions.purge(ANNA, "sess-2")
    assert await house.shows("sess-3") == ["sess-1 1"]
    await house.create(messages=2)
    assert await house.shows("sess-1") == ["sess-1 1", "sess-1 2"], "an id that is used again begins anew"
    assert await house.shows("sess-3") == ["sess-1 1"]
    await house.sessions.purge(ANNA, "sess-1")
    await house.sessions.purge(ANNA, "sess-3")
    await house.create()
    assert await house.shows("sess-1") == []


async def test_a_fork_is_listed_by_the_agents_of_what_it_shows(house: House) -> None:
    await house.create()
    message = NewMessage(role=Role.ASSISTANT, content="hello", agent="helper")
    await house.sessions.add_message(ANNA, "sess-1", message)
    await house.fork("sess-1", "sess-2")
    page = await house.sessions.page(ANNA, user_id=None, listing=Listing(agent="helper"), limit=10, cursor=None)
    assert sorted(session.session_id for session in page.sessions) == ["sess-1", "sess-2"]


async def test_a_messages_metadata_is_kept_as_it_is(house: House) -> None:
    await house.create()
    metadata = {"event": {"id": "é", "n": [1, None, 2.5]}, "": {}}
    await house.sessions.add_message(ANNA, "sess-1", NewMessage(role=Role.USER, content="hi", metadata=metadata))
    view = await house.sessions.view(ANNA, "sess-1", 1)
    assert view.conversation_history[0].metadata == metadata


async def test_what_was_set_at_the_message_that_one_went_back_to_is_undone_by_going_back_further(house: House) -> None:
    await house.create(messages=3)
    await house.rewind("sess-1", 2)
    await house.sessions.set_state(ANNA, "sess-1", {"late": 1})
    await house.sessions.set_context(ANNA, "sess-1", Context(last_query="late"))
    await house.fork("sess-1", "sess-2")
    await house.say("sess-1", "again 3")
    await house.rewind("sess-1", 2)
    await house.sessions.set_state(ANNA, "sess-1", {"late": 2})
    await house.fork("sess-1", "sess-3", at_seq=2)
    for session_id, late in (("sess-1", 2), ("sess-2", 1), ("sess-3", 2)):
        assert (await house.sessions.state(ANNA, session_id)).state == {"late": late}
        await house.rewind(session_id, 1)
        assert (await house.sessions.state(ANNA, session_id)).state == {}
        assert (await house.sessions.context(ANNA, session_id)).last_query is None


async def test_going_back_tells_values_apart_that_python_takes_for_equal(house: House) -> None:
    await house.create()
    await house.sessions.set_state(ANNA, "sess-1", {"flag": 1, "deep": [1.5, 0]})
    await house.say("sess-1", "one")
    await house.sessions.set_state(ANNA, "sess-1", {"flag": True, "deep": [1.5, False]})
    await house.rewind("sess-1", 0)
    assert repr((await house.sessions.state(ANNA, "sess-1")).state) == repr({"flag": 1, "deep": [1.5, 0]})


async def test_sessions_that_are_purged_at_the_same_time_leave_nothing_behind(house: House) -> None:
    for _ in range(8):
        await house.create(messages=3)
        forks = [f"sess-{number}" for number in range(2, 8)]
        for number, fork in enumerate(forks):
            await house.fork("sess-1", fork, at_seq=1 + number % 3)
            await house.sessions.set_state(ANNA, fork, {"step": number})
        await asyncio.gather(*(house.sessions.purge(ANNA, each) for each in ["sess-1", *forks]))
        assert await rows_left(house.store, ANNA.tenant) == {}


async def test_an_imported_session_goes_back_as_the_exported_one_would_have(house: House) -> None:
    await house.create(messages=3)
    await house.sessions.set_state(ANNA, "sess-1", {"step": 3})
    await house.rewind("sess-1", 2)
    await house.sessions.set_state(ANNA, "sess-1", {"late": 1})
    await house.fork("sess-1", "sess-2")
    for session_id in ("sess-1", "sess-2"):
        document = b"".join([piece async for piece in await house.transferring.export(ANNA, session_id)])
        await house.sessions.purge(ANNA, session_id)
        await house.transferring.restore(ANNA, SessionExport.model_validate_json(document))
        assert await house.shows(session_id) == ["sess-1 1", "sess-1 2"]
        assert (await house.sessions.state(ANNA, session_id)).state == {"late": 1}
        await house.rewind(session_id, 1)
        assert (await house.sessions.state(ANNA, session_id)).state == {}
