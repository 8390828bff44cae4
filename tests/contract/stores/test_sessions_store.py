"""What every store of the sessions promises, on each adapter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise

import pytest

from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.sessions import (
    Context,
    Lease,
    Lifecycle,
    NewInvocation,
    NewMessage,
    Role,
    Session,
    SessionStatus,
    ToolCall,
    ToolResult,
    TurnStored,
)
from kit.identity import Reach
from services.sessions.edits import Edit, apply
from services.sessions.errors import SessionExists, SessionNotFound
from services.sessions.record import Current, Listing, Position, SessionRecord, StoredTurn, Write
from services.sessions.service import BEYOND_EVERY_SEQ
from services.sessions.store import SessionStore
from tests.session_stores import ADAPTERS, LASTING, make_store, opened

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ANNA = Reach("acme", "anna")
ACME = Reach("acme", None)
ANYTHING = {
    "née": "Zoë 👩‍🚀",
    "deep": [{"a": [1, 2.5, None, True]}],
    "huge": 10**30,
    "": "an empty key",
    "\t\u2028": "",
}


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[SessionStore]:
    async with opened(make_store(request.param, request)) as store:
        yield store


def a_session(session_id: str = "sess-1", **fields: object) -> SessionRecord:
    session = Session(
        session_id=session_id, tenant="acme", user_id="anna", title="", status=SessionStatus.IDLE,
        autonomy_level=AutonomyLevel.L2, metadata={}, state={}, created_at=NOW, updated_at=NOW, last_activity=NOW,
        message_count=0, version=1,
    )  # fmt: skip
    return SessionRecord(session.model_copy(update=fields), Context())


def appending(*texts: str, at: datetime = NOW) -> Callable[[Current], tuple[list[int], Write]]:
    def decide(current: Current) -> tuple[list[int], Write]:
        edit = Edit(messages=[NewMessage(role=Role.USER, content=text) for text in texts])
        write = apply(current.record, edit, at)
        return [message.seq for message in write.messages], write

    return decide


async def whole_history(store: SessionStore, session_id: str = "sess-1", reach: Reach = ACME) -> list[str]:
    _, messages = await store.history(reach, session_id, after=0, before=BEYOND_EVERY_SEQ, limit=100_000, newest=False)
    assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
    return [str(message.content) for message in messages]


async def listed(
    store: SessionStore, reach: Reach = ACME, *, after: Position | None = None, limit: int = 100, **conditions: object
) -> list[str]:
    listing = Listing(**conditions)  # type: ignore[arg-type]  # the names are checked by running
    page = await store.page(reach, listing, after=after, limit=limit)
    return [session.session_id for session in page]


async def test_a_session_is_read_as_it_was_created(store: SessionStore) -> None:
    record = replace(
        a_session(title="Ein Gespräch", metadata=ANYTHING, state=ANYTHING, autonomy_level=AutonomyLevel.L0),
        context=Context(last_agent_called="tickets", last_query="what?", last_response="that"),
        lease=Lease(fencing_token=3, holder="writer", expires_at=NOW + timedelta(seconds=30)),
        last_fencing_token=3,
    )
    await store.create(record)
    assert await store.get(ANNA, "sess-1") == record


async def test_an_id_that_is_taken_is_refused_within_its_tenant_only(store: SessionStore) -> None:
    await store.create(a_session())
    with pytest.raises(SessionExists):
        await store.create(a_session(user_id="bob", title="another"))
    await store.create(a_session(tenant="globex", title="elsewhere"))
    assert (await store.get(ANNA, "sess-1")).session.title == ""
    assert (await store.get(Reach("globex", "anna"), "sess-1")).session.title == "elsewhere"


async def test_everything_of_one_change_is_stored_together(store: SessionStore) -> None:
    await store.create(a_session())
    message = NewMessage(
        role=Role.ASSISTANT, content=[{"type": "text", "text": "näh\n"}, ANYTHING], agent="tickets",
        tool_calls=[ToolCall(call_id="1", name="find", arguments=ANYTHING)],
        tool_results=[ToolResult(call_id="1", name="find", result=[1, {"a": None}], error="none")],
        input_tokens=10**12, output_tokens=0, cost=0.1, trace_id="ab" * 16,
    )  # fmt: skip
    invocation = NewInvocation(
        agent_name="tickets", query="q", response="r", success=False, error_message="e", duration_ms=1.5,
        input_tokens=1, output_tokens=2, cost=0.25, trace_id="cd" * 16,
    )  # fmt: skip
    later = NOW + timedelta(seconds=1)

    def decide(current: Current) -> tuple[Write, Write]:
        edit = Edit(
            [message], [invocation, invocation], Context(last_query="q"), {"seen": ANYTHING}, SessionStatus.EXECUTING
        )
        write = apply(current.record, edit, later)
        turn = StoredTurn("turn-1", "digest", TurnStored(version=2, answer=ANYTHING), later)
        return (write := replace(write, turn=turn)), write

    written = await store.change(ANNA, "sess-1", decide)
    record, messages, invocations = await store.view(ANNA, "sess-1", messages=10, invocations=10)
    assert record == written.record
    assert (record.session.version, record.session.last_activity, record.invocation_count) == (2, later, 2)
    assert messages == list(written.messages)
    assert invocations == list(written.invocations)
    assert await store.turn(ANNA, "sess-1", "turn-1") == written.turn
    assert await store.turn(ANNA, "sess-1", "turn-2") is None


async def test_a_decision_sees_the_turn_that_is_stored_already(store: SessionStore) -> None:
    await store.create(a_session())
    turn = StoredTurn("turn-1", "digest", TurnStored(version=1), NOW)

    def decide(current: Current) -> tuple[StoredTurn | None, Write | None]:
        return current.turn, None if current.turn else Write(current.record, turn=turn)

    assert await store.change(ANNA, "sess-1", decide, turn_id="turn-1") is None
    assert await store.change(ANNA, "sess-1", decide, turn_id="turn-1") == turn


async def test_a_decision_that_raises_changes_nothing(store: SessionStore) -> None:
    await store.create(a_session())
    before = await store.get(ANNA, "sess-1")

    def decide(current: Current) -> tuple[None, Write]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.change(ANNA, "sess-1", decide)
    assert await store.get(ANNA, "sess-1") == before
    assert await store.change(ANNA, "sess-1", appending("still works")) == [1]


async def test_concurrent_appenders_number_their_messages_without_gap_or_double(store: SessionStore) -> None:
    await store.create(a_session())
    all_there = asyncio.Barrier(32)

    async def append(name: str) -> list[int]:
        await all_there.wait()
        seqs: list[int] = []
        for _ in range(4):
            seqs += await store.change(ANNA, "sess-1", appending(name))
            await asyncio.sleep(0)  # gives the others their turn, also where nothing waits for a disk
        return seqs

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(append(f"appender {number}")) for number in range(32)]
    assert sorted(seq for task in tasks for seq in task.result()) == list(range(1, 129))
    names = await whole_history(store)
    assert all(names[seq - 1] == f"appender {number}" for number, task in enumerate(tasks) for seq in task.result())
    # The proof that they ran into each other: almost no message follows one of the same appender.
    assert sum(one == next_one for one, next_one in pairwise(names)) < 64
    assert (await store.get(ANNA, "sess-1")).session.message_count == 128


async def test_a_reader_never_sees_half_a_change(store: SessionStore) -> None:
    await store.create(a_session())
    done = asyncio.Event()
    seen: set[int] = set()

    async def write() -> None:
        for number in range(20):
            await store.change(ANNA, "sess-1", appending(f"{number} a", f"{number} b"))
            await asyncio.sleep(0)
        done.set()

    async def read() -> None:
        while not done.is_set():
            record, messages, _ = await store.view(ANNA, "sess-1", messages=100, invocations=0)
            assert len(messages) == record.session.message_count
            seen.add(len(messages))
            await asyncio.sleep(0)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(read())
    assert all(count % 2 == 0 for count in seen)
    assert len(seen) > 1


async def test_history_is_read_from_either_end(store: SessionStore) -> None:
    await store.create(a_session())
    await store.change(ANNA, "sess-1", appending(*map(str, range(1, 11))))

    async def seqs(after: int, before: int, limit: int, newest: bool) -> list[int]:
        count, messages = await store.history(ANNA, "sess-1", after=after, before=before, limit=limit, newest=newest)
        assert count == 10
        return [message.seq for message in messages]

    assert await seqs(0, BEYOND_EVERY_SEQ, 3, newest=False) == [1, 2, 3]
    assert await seqs(0, BEYOND_EVERY_SEQ, 3, newest=True) == [8, 9, 10]
    assert await seqs(3, 6, 10, newest=False) == [4, 5]
    assert await seqs(0, 8, 2, newest=True) == [6, 7]
    assert await seqs(10, BEYOND_EVERY_SEQ, 5, newest=False) == []
    assert await seqs(0, 1, 5, newest=True) == []


async def test_a_view_shows_the_last_messages_and_invocations(store: SessionStore) -> None:
    await store.create(a_session())
    invocations = [NewInvocation(agent_name="a", query=str(number)) for number in range(5)]
    await store.change(ANNA, "sess-1", appending(*map(str, range(5))))
    await store.change(
        ANNA, "sess-1", lambda current: (None, apply(current.record, Edit(invocations=invocations), NOW))
    )
    _, messages, shown = await store.view(ANNA, "sess-1", messages=2, invocations=3)
    assert [message.content for message in messages] == ["3", "4"]
    assert [invocation.query for invocation in shown] == ["2", "3", "4"]
    _, messages, shown = await store.view(ANNA, "sess-1", messages=0, invocations=0)
    assert (messages, shown) == ([], [])


async def test_sessions_are_listed_by_last_activity_and_filtered(store: SessionStore) -> None:
    kinds: list[dict[str, object]] = [
        {},
        {"user_id": "bob"},
        {"status": SessionStatus.ERROR},
        {"lifecycle": Lifecycle.ARCHIVED},
        {"user_id": "bob", "status": SessionStatus.ERROR},
        {"tenant": "globex"},
    ]
    for number, fields in enumerate(kinds):
        await store.create(a_session(f"sess-{number}", **fields))
    await store.change(ANNA, "sess-0", appending("the latest", at=NOW + timedelta(seconds=1)))

    assert await listed(store) == ["sess-0", "sess-4", "sess-2", "sess-1"]
    assert await listed(store, ANNA) == ["sess-0", "sess-2"]
    assert await listed(store, status=SessionStatus.ERROR) == ["sess-4", "sess-2"]
    assert await listed(store, ANNA, status=SessionStatus.ERROR) == ["sess-2"]
    assert await listed(store, lifecycle=Lifecycle.ARCHIVED) == ["sess-3"]
    assert await listed(store, Reach("globex", "anna")) == ["sess-5"]
    assert await listed(store, limit=1) == ["sess-0"]


async def test_sessions_are_listed_by_the_agents_that_took_part(store: SessionStore) -> None:
    later = NOW + timedelta(seconds=1)
    for number in range(4):
        await store.create(a_session(f"sess-{number}"))
    await store.create(a_session("sess-bob", user_id="bob"))

    async def said(session_id: str, agent: str, at: datetime = NOW) -> None:
        edit = Edit(messages=[NewMessage(role=Role.ASSISTANT, agent=agent)] * 2)
        await store.change(ACME, session_id, lambda current: (None, apply(current.record, edit, at)))

    async def asked(session_id: str, agent: str, at: datetime = NOW) -> None:
        edit = Edit(invocations=[NewInvocation(agent_name=agent, query="?")])
        await store.change(ACME, session_id, lambda current: (None, apply(current.record, edit, at)))

    await said("sess-0", "tickets", later)
    await said("sess-1", "tickets")
    await asked("sess-2", "tickets")
    await asked("sess-2", "billing")
    await said("sess-bob", "tickets")
    assert await listed(store, ANNA, agent="tickets") == ["sess-0", "sess-2", "sess-1"]
    assert await listed(store, ANNA, agent="billing") == ["sess-2"]
    assert await listed(store, ACME, agent="tickets") == ["sess-0", "sess-bob", "sess-2", "sess-1"]
    assert await listed(store, ANNA, agent="nobody") == []
    # What anybody does moves the session; a page goes on behind a position.
    await store.change(ANNA, "sess-1", appending("more", at=later + timedelta(seconds=1)))
    assert await listed(store, ANNA, agent="tickets") == ["sess-1", "sess-0", "sess-2"]
    assert await listed(store, ANNA, agent="tickets", after=Position(later, "sess-0")) == ["sess-2"]
    assert await listed(store, ANNA, agent="tickets", since=later) == ["sess-1", "sess-0"]
    await store.change(ANNA, "sess-0", becoming(Lifecycle.ARCHIVED))
    assert await listed(store, ANNA, agent="tickets") == ["sess-1", "sess-2"]
    assert await listed(store, ANNA, agent="tickets", lifecycle=Lifecycle.ARCHIVED) == ["sess-0"]
    await store.purge(ANNA, "sess-1")
    assert await listed(store, ANNA, agent="tickets") == ["sess-2"]


def becoming(lifecycle: Lifecycle) -> Callable[[Current], tuple[None, Write]]:
    def decide(current: Current) -> tuple[None, Write]:
        session = current.record.session.model_copy(update={"lifecycle": lifecycle})
        return None, Write(replace(current.record, session=session))

    return decide


async def test_sessions_are_listed_by_the_time_of_their_last_activity(store: SessionStore) -> None:
    for number in range(5):
        await store.create(a_session(f"sess-{number}", last_activity=NOW + timedelta(hours=number)))
    two, four = NOW + timedelta(hours=2), NOW + timedelta(hours=4)
    assert await listed(store, since=two) == ["sess-4", "sess-3", "sess-2"]
    assert await listed(store, until=two) == ["sess-1", "sess-0"]
    assert await listed(store, since=two, until=four) == ["sess-3", "sess-2"]
    assert await listed(store, since=four, until=two) == []


async def test_pages_stay_whole_while_sessions_are_added(store: SessionStore) -> None:
    for number in range(10):  # half of them at the same time, so that the id decides
        await store.create(a_session(f"sess-{number}", last_activity=NOW + timedelta(microseconds=number // 5)))
    seen: list[str] = []
    after = None
    for step in range(4):
        page = await store.page(ANNA, Listing(), after=after, limit=3)
        seen += [session.session_id for session in page]
        after = Position(page[-1].last_activity, page[-1].session_id)
        await store.create(a_session(f"sess-new-{step}", last_activity=NOW + timedelta(hours=1)))
    assert seen == [f"sess-{number}" for number in reversed(range(10))]


async def test_times_far_away_keep_their_place(store: SessionStore) -> None:
    await store.create(a_session("sess-old", last_activity=datetime(2, 1, 1, tzinfo=UTC)))
    await store.create(a_session("sess-now"))
    await store.create(a_session("sess-far", last_activity=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)))
    assert await listed(store) == ["sess-far", "sess-now", "sess-old"]
    assert await listed(store, after=Position(NOW, "sess-now")) == ["sess-old"]


async def test_a_purged_session_is_gone_with_all_that_was_in_it(store: SessionStore) -> None:
    await store.create(a_session())
    await store.create(a_session("sess-2"))
    turn = StoredTurn("turn-1", "digest", TurnStored(version=1), NOW)
    for session_id in ("sess-1", "sess-2"):
        await store.change(ANNA, session_id, appending("secret"))
        await store.change(ANNA, session_id, lambda current: (None, Write(current.record, turn=turn)))
    await store.purge(ANNA, "sess-1")
    with pytest.raises(SessionNotFound):
        await store.get(ANNA, "sess-1")
    await store.create(a_session())
    assert await whole_history(store) == []
    assert await store.turn(ANNA, "sess-1", "turn-1") is None
    assert await whole_history(store, "sess-2") == ["secret"]


Use = Callable[[SessionStore, Reach, str], Awaitable[object]]


def _must_not_decide(current: Current) -> tuple[None, None]:
    raise AssertionError("a decision about a session out of reach")


USES: dict[str, Use] = {
    "change": lambda store, reach, session_id: store.change(reach, session_id, _must_not_decide, turn_id="turn-1"),
    "purge": lambda store, reach, session_id: store.purge(reach, session_id),
    "get": lambda store, reach, session_id: store.get(reach, session_id),
    "turn": lambda store, reach, session_id: store.turn(reach, session_id, "turn-1"),
    "view": lambda store, reach, session_id: store.view(reach, session_id, messages=1, invocations=1),
    "history": lambda store, reach, session_id: store.history(
        reach, session_id, after=0, before=9, limit=1, newest=True
    ),
}
OUT_OF_REACH = [
    (Reach("acme", "bob"), "sess-1"),
    (Reach("globex", "anna"), "sess-1"),
    (Reach("globex", None), "sess-1"),
]


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
async def test_a_session_out_of_reach_is_as_one_that_does_not_exist(store: SessionStore, use: Use) -> None:
    record = a_session()
    await store.create(record)
    with pytest.raises(SessionNotFound) as missing:
        await use(store, ANNA, "sess-2")
    for reach, session_id in OUT_OF_REACH:
        with pytest.raises(SessionNotFound) as foreign:
            await use(store, reach, session_id)
        assert str(foreign.value).replace("sess-1", "sess-2") == str(missing.value)
        assert await listed(store, reach) == []
    assert await store.get(ACME, "sess-1") == record


async def test_it_says_what_it_is(store: SessionStore) -> None:
    assert (await store.ping()).split()[0] in ADAPTERS


@pytest.mark.parametrize("adapter", LASTING)
async def test_what_was_stored_is_there_after_a_restart(adapter: str, request: pytest.FixtureRequest) -> None:
    async with opened(make_store(adapter, request)) as store:
        await store.create(a_session())
        await store.change(ANNA, "sess-1", appending("kept", "in order"))
    async with opened(make_store(adapter, request)) as store:
        assert await whole_history(store) == ["kept", "in order"]


@pytest.mark.parametrize("adapter", LASTING)
async def test_replicas_that_start_together_share_the_sessions(adapter: str, request: pytest.FixtureRequest) -> None:
    stores = [make_store(adapter, request) for _ in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    try:
        await stores[0].create(a_session())
        appends = [store.change(ANNA, "sess-1", appending("one")) for store in stores for _ in range(5)]
        assert sorted(chain(*await asyncio.gather(*appends))) == list(range(1, 16))
    finally:
        await asyncio.gather(*(store.close() for store in stores))
