"""Two processes on one database: what a store remembers of a session is never taken for what another wrote since."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bureau_contracts.sessions import NewMessage, Role
from kit.identity import Reach
from services.sessions.edits import Edit, apply
from services.sessions.errors import SessionArchived, SessionNotFound
from services.sessions.lifecycle import archive
from services.sessions.record import Current, SessionRecord, SharedState, Write
from services.sessions.store import SessionStore
from tests.session_stores import LASTING, make_store, opened
from tests.unit.sessions.records import a_record

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ANNA, BEN = Reach("acme", "anna"), Reach("acme", "ben")

Two = tuple[SessionStore, SessionStore]


@pytest.fixture(params=LASTING)
async def two(request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    """Ours, which has written to session sess-1 more than once, and another one."""
    async with opened(make_store(request.param, request)) as ours, opened(make_store(request.param, request)) as other:
        await ours.create(a_record())
        for text in ("one", "two"):
            await append(ours, text)
        yield ours, other


def edits(edit: Edit, seen: list[SessionRecord] | None = None) -> Callable[[Current], tuple[int, Write]]:
    def decide(current: Current) -> tuple[int, Write]:
        if seen is not None:
            seen.append(current.record)
        write = apply(current.record, edit, NOW)
        return write.record.session.message_count, write

    return decide


async def append(
    store: SessionStore, text: str, *, reach: Reach = ANNA, seen: list[SessionRecord] | None = None
) -> int:
    return await store.change(reach, "sess-1", edits(Edit(messages=[NewMessage(role=Role.USER, content=text)]), seen))


async def contents(store: SessionStore) -> list[object]:
    _, messages = await store.history(ANNA, "sess-1", after=0, before=1000, limit=1000, newest=False)
    assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
    return [message.content for message in messages]


async def test_a_change_follows_the_messages_of_another_process(two: Two) -> None:
    ours, other = two
    assert await append(other, "three") == 3
    assert await append(ours, "four") == 4
    assert await append(other, "five") == 5
    assert await contents(ours) == await contents(other) == ["one", "two", "three", "four", "five"]


async def test_a_change_keeps_the_state_that_another_process_wrote(two: Two) -> None:
    ours, other = two
    await other.change(ANNA, "sess-1", edits(Edit(state={"colour": "red"})))
    seen: list[SessionRecord] = []
    assert await append(ours, "three", seen=seen) == 3
    assert seen[-1].session.state == {"colour": "red"}
    assert (await other.get(ANNA, "sess-1")).session.state == {"colour": "red"}


async def test_a_change_sees_what_another_session_wrote_to_state_that_both_show(two: Two) -> None:
    ours, other = two
    for number, store in enumerate((ours, other)):
        record = replace(a_record(session_id=f"sess-other-{number}"))
        await store.create(record, shared=SharedState({f"user:{number}": "set"}, {}))
        seen: list[SessionRecord] = []
        await ours.change(ANNA, "sess-1", edits(Edit(state={"own": number}), seen))
        assert seen[-1].shared[f"user:{number}"] == "set"


async def test_a_session_that_another_process_archived_is_not_written(two: Two) -> None:
    ours, other = two
    await other.change(ANNA, "sess-1", lambda current: (None, archive(current.record, NOW)[1]))
    with pytest.raises(SessionArchived):
        await append(ours, "three")
    assert await contents(ours) == ["one", "two"]


async def test_a_refusal_is_about_what_is_there_now(two: Two) -> None:
    ours, other = two
    await append(other, "three")

    def decide(current: Current) -> tuple[int, Write | None]:
        if current.record.session.message_count < 3:
            raise SessionArchived("sess-1")
        return current.record.session.message_count, None

    assert await ours.change(ANNA, "sess-1", decide) == 3


async def test_a_session_that_is_another_persons_by_now_is_out_of_reach(two: Two) -> None:
    ours, other = two
    await other.purge(ANNA, "sess-1")
    with pytest.raises(SessionNotFound):
        await append(ours, "three")
    await other.create(a_record(user_id="ben"))
    with pytest.raises(SessionNotFound):
        await append(ours, "three")
    assert await append(ours, "one", reach=BEN) == 1
    with pytest.raises(SessionNotFound):
        await append(ours, "two")


async def test_what_one_purged_oneself_is_not_written(two: Two) -> None:
    ours, _ = two
    await ours.purge(ANNA, "sess-1")
    with pytest.raises(SessionNotFound):
        await append(ours, "three")
