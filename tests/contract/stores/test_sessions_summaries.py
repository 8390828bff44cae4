"""Summaries on every store: what they cover, when they apply, and that none is made twice or of the wrong messages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bureau_contracts.sessions import CompactSession, ForkSession, NewMessage, NewSession, NewTurn, Role
from kit.identity import Principal
from services.sessions.compaction import Compaction
from services.sessions.errors import SessionArchived, SessionNotFound, SummaryNotFound
from services.sessions.record import Current, StoredSummary, Write
from services.sessions.store import SessionStore
from services.sessions.summariser import Material, Summarised
from services.sessions.summarising import holds
from tests.session_compaction import ANNA, BEN, House, Scribe, lookup, pairs_are_whole, talk
from tests.session_stores import ADAPTERS, make_store, opened


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[SessionStore]:
    async with opened(make_store(request.param, request)) as store:
        yield store


@pytest.fixture
def house(store: SessionStore) -> House:
    return House(store)


async def test_under_the_limit_nothing_changes(house: House) -> None:
    await house.create(messages=4)
    before = await house.sessions.view(ANNA, "sess-1", 10)
    answer = await house.compact(max_tokens=1500)
    assert (answer.compacted, answer.summary, answer.omitted) == (False, None, 0)
    assert answer.messages == before.conversation_history
    assert await house.sessions.view(ANNA, "sess-1", 10) == before
    with pytest.raises(SummaryNotFound):
        await house.compaction.summary(ANNA, "sess-1")


async def test_over_the_limit_a_summary_stands_for_the_older_messages(house: House) -> None:
    await house.create(messages=40)
    before = await house.sessions.view(ANNA, "sess-1", 100)
    answer = await house.compact(max_tokens=400)
    assert answer.compacted
    assert answer.summary is not None
    covers = answer.summary.covers
    assert (covers.first_seq, covers.last_seq + 1) == (1, answer.messages[0].seq)
    assert [each.seq for each in answer.messages] == list(range(covers.last_seq + 1, 41))
    assert answer.tokens <= 400
    assert answer.summary.tokens_after < answer.summary.tokens_before
    assert answer.summary.made_by == "extractive"
    assert await house.compaction.summary(ANNA, "sess-1") == answer.summary
    assert await house.sessions.view(ANNA, "sess-1", 100) == before, "messages and version stay what they were"


async def test_a_new_summary_builds_on_the_last_one(store: SessionStore) -> None:
    scribe = Scribe()
    house = House(store, scribe)
    await house.create(messages=40)
    first = await house.compact(max_tokens=400)
    await house.say("sess-1", *talk(30, first=41))
    second = await house.compact(max_tokens=400)
    assert first.summary is not None
    assert second.summary is not None
    assert second.summary.covers.first_seq == 1
    assert scribe.given[-1].before == first.summary.text
    covered = [seq for seqs in scribe.seqs for seq in seqs]
    assert covered == list(range(1, second.summary.covers.last_seq + 1)), "each message once, none left out"
    again = await house.compact(max_tokens=400)
    assert (again.compacted, again.summary) == (False, second.summary)
    assert covered == [seq for seqs in scribe.seqs for seq in seqs]


async def test_much_is_summarised_piece_by_piece(store: SessionStore) -> None:
    scribe = Scribe()
    house = House(store, scribe)
    await house.create()
    words = " ".join(["word"] * 700)
    messages = [NewMessage(role=Role.USER, content=f"{number} {words}") for number in range(1, 41)]
    await house.say("sess-1", *messages)
    answer = await house.compact(max_tokens=2000)
    assert len(scribe.given) > 2
    assert answer.tokens <= 2000
    covered = [seq for seqs in scribe.seqs for seq in seqs]
    assert covered == list(range(1, 41 - len(answer.messages)))


async def test_very_much_is_summarised_without_reading_all_of_it_at_once(store: SessionStore) -> None:
    scribe = Scribe()
    house = House(store, scribe)
    await house.create()
    for number in range(3):
        messages = [new.model_copy(update={"content": f"{new.content} {'word ' * 40}"}) for new in talk(800)]
        await house.sessions.store_turn(ANNA, "sess-1", NewTurn(turn_id=f"turn-{number}", messages=messages))
    hasty = Compaction(store, scribe, house.clock, longest_seconds=0)
    unfinished = await hasty.compact(ANNA, "sess-1", CompactSession(max_tokens=400))
    assert (unfinished.compacted, unfinished.summary, unfinished.messages[-1].seq) == (False, None, 2400)
    assert unfinished.omitted == 2400 - len(unfinished.messages)
    assert unfinished.tokens <= 400
    answer = await house.compact(max_tokens=400, keep_last=3)
    assert [each.seq for each in answer.messages] == [2398, 2399, 2400]
    assert [seq for seqs in scribe.seqs for seq in seqs] == list(range(1, 2398))


async def test_the_last_messages_stay_as_they_are(house: House) -> None:
    await house.create(messages=40)
    answer = await house.compact(max_tokens=400, keep_last=15)
    assert [each.seq for each in answer.messages] == list(range(26, 41))


async def test_a_call_and_its_result_are_on_the_same_side(house: House) -> None:
    await house.create()
    for number in range(30):
        await house.say("sess-1", *talk(1, first=2 * number + 1), *lookup(number))
        answer = await house.compact(max_tokens=250)
        assert pairs_are_whole(answer.messages)
        for max_messages in range(1, 7):
            window = await house.compaction.window(ANNA, "sess-1", max_tokens=250, max_messages=max_messages)
            assert pairs_are_whole(window.messages)
            assert window.tokens <= 250
    assert await house.covers() > 50


async def test_after_a_rewind_only_what_is_still_shown_is_summarised(house: House) -> None:
    await house.create(messages=40)
    await house.compact(max_tokens=400)
    covered = await house.covers()
    await house.say("sess-1", *talk(20, first=41))
    await house.compact(max_tokens=400)
    assert await house.covers() > covered
    await house.rewind("sess-1", covered + 2)
    assert await house.covers() == covered, "the one before applies again"
    await house.rewind("sess-1", covered - 1)
    assert await house.covers() == 0
    await house.say("sess-1", *talk(30, first=500))
    answer = await house.compact(max_tokens=400)
    assert answer.summary is not None
    assert answer.summary.covers.last_seq < covered - 1 + 30
    shown = await house.sessions.history(ANNA, "sess-1", before=None, after=None, limit=200)
    assert answer.messages == shown.messages[answer.summary.covers.last_seq :]
    assert "T-15" in answer.summary.text
    assert not [number for number in range(covered, 61) if f"T-{1000 + number} " in answer.summary.text]


async def test_a_fork_inherits_what_it_shows_whole(house: House) -> None:
    await house.create(messages=40)
    await house.compact(max_tokens=400)
    covered = await house.covers()
    await house.fork("sess-1", "sess-later", at_seq=covered)
    await house.fork("sess-1", "sess-earlier", at_seq=covered - 1)
    assert await house.covers("sess-later") == covered
    assert await house.covers("sess-earlier") == 0
    await house.say("sess-later", *talk(40, first=100))
    await house.compact("sess-later", max_tokens=400)
    assert await house.covers("sess-later") > covered
    assert await house.covers() == covered, "what a fork said since is not the other's"


async def test_a_summary_stays_while_a_fork_shows_what_it_covers_and_no_longer(house: House) -> None:
    await house.create(messages=40)
    await house.compact(max_tokens=400)
    covered = await house.covers()
    await house.fork("sess-1", "sess-2", at_seq=covered)
    await house.say("sess-1", *talk(30, first=41))
    await house.compact(max_tokens=400)
    await house.sessions.purge(ANNA, "sess-1")
    assert await house.covers("sess-2") == covered
    await house.sessions.purge(ANNA, "sess-2")
    await house.create("sess-1", messages=40)
    assert await house.covers() == 0, "an id that is used again knows nothing of its past"


async def test_two_at_once_make_one_summary(store: SessionStore) -> None:
    scribe = Scribe()
    house = House(store, scribe)
    await house.create(messages=60)
    answers = await asyncio.gather(*(house.compact(max_tokens=400) for _ in range(8)))
    assert len(scribe.given) == 1
    assert [answer.compacted for answer in answers].count(True) == 1
    assert len({answer.summary.text for answer in answers if answer.summary}) == 1


class Meddler(Scribe):
    """Something else happens to the session while the summary is being made, once."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def summarise(self, material: Material, tokens: int) -> Summarised:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await super().summarise(material, tokens)


async def test_another_process_that_was_quicker_is_built_upon(store: SessionStore) -> None:
    meddler, other = Meddler(), House(store, Scribe(name="other"))
    house = House(store, meddler)
    await house.create(messages=60)

    async def overtake() -> None:
        await other.compact(max_tokens=400)

    meddler.meanwhile = overtake
    answer = await house.compact(max_tokens=400)
    assert answer.summary is not None
    assert answer.summary.made_by == "other", "the second one's work was thrown away"
    assert [each.seq for each in answer.messages] == list(range(answer.summary.covers.last_seq + 1, 61))


async def test_a_summary_of_what_was_rewound_meanwhile_is_not_stored(store: SessionStore) -> None:
    meddler = Meddler()
    house = House(store, meddler)
    await house.create(messages=60)

    async def go_back() -> None:
        await house.rewind("sess-1", 10)
        await house.say("sess-1", *talk(50, first=200))

    meddler.meanwhile = go_back
    answer = await house.compact(max_tokens=400)
    assert answer.summary is not None
    said = [str(each.content) for each in meddler.given[-1].messages]
    assert said[10].startswith("Message 200"), "it is of what is shown now"
    assert len(meddler.given) == 2


async def test_a_summary_of_a_session_that_was_replaced_meanwhile_is_not_stored(store: SessionStore) -> None:
    meddler = Meddler()
    house = House(store, meddler)
    await house.create(messages=60)

    async def replace_it() -> None:
        await house.sessions.purge(ANNA, "sess-1")
        await house.create("sess-1")
        await house.say("sess-1", *talk(60, first=300))

    meddler.meanwhile = replace_it
    await house.compact(max_tokens=400)
    assert [str(each.messages[0].content)[:11] for each in meddler.given] == ["Message 1 t", "Message 300"]
    _, stored, _ = await store.window(ANNA.reach(), "sess-1", limit=0)
    shown = await house.sessions.history(ANNA, "sess-1", before=None, after=0, limit=200)
    assert stored is not None
    assert holds(stored, shown.messages[: stored.place.last_seq])


async def test_a_rewind_between_two_reads_puts_no_summary_on_the_wrong_branch(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, read, waiting = House(store, Scribe()), store.history, [True]
    await house.create()
    for number in range(3):
        messages = [new.model_copy(update={"content": f"{new.content} {'word ' * 40}"}) for new in talk(800)]
        await house.sessions.store_turn(ANNA, "sess-1", NewTurn(turn_id=f"turn-{number}", messages=messages))

    async def read_after_a_rewind(*args: Any, **kwargs: Any) -> Any:
        if waiting.pop() if waiting else False:
            await house.rewind("sess-1", 1)
            messages = [new.model_copy(update={"content": "elsewhere " * 50}) for new in talk(800)]
            await house.sessions.store_turn(ANNA, "sess-1", NewTurn(turn_id="turn-9", messages=messages))
        return await read(*args, **kwargs)

    monkeypatch.setattr(store, "history", read_after_a_rewind)
    await house.compact(max_tokens=400)
    await house.branching.fork(ANNA, "sess-1", ForkSession(session_id="sess-2", branch=0))
    assert await house.covers("sess-1") > 0
    assert await house.covers("sess-2") == 0


async def test_what_is_appended_meanwhile_is_behind_the_summary(store: SessionStore) -> None:
    meddler = Meddler()
    house = House(store, meddler)
    await house.create(messages=60)

    async def go_on() -> None:
        await house.say("sess-1", *talk(2, first=61))

    meddler.meanwhile = go_on
    answer = await house.compact(max_tokens=400)
    assert answer.compacted
    assert answer.messages[-1].seq == 62


async def test_a_summary_that_does_not_hold_what_it_says_is_made_anew(house: House, store: SessionStore) -> None:
    await house.create(messages=60)
    await house.compact(max_tokens=400)

    def spoil(current: Current) -> tuple[StoredSummary, Write]:
        assert current.summary is not None
        spoilt = replace(current.summary, digest="0" * 64, text="of something else")
        return spoilt, Write(current.record, summary=spoilt)

    spoilt = await store.change(ANNA.reach(), "sess-1", spoil, summary=True)
    assert (await house.compaction.summary(ANNA, "sess-1")).text == "of something else"
    await house.say("sess-1", *talk(40, first=61))
    answer = await house.compact(max_tokens=400)
    assert answer.summary is not None
    assert "of something else" not in answer.summary.text
    _, stored, _ = await store.window(ANNA.reach(), "sess-1", limit=0)
    assert stored is not None
    assert stored.built_on_digest != spoilt.digest


async def test_nobody_sees_or_makes_anothers_summary(house: House) -> None:
    await house.create(messages=60)
    await house.compact(max_tokens=400)
    for stranger in (BEN, Principal("globex", "anna")):
        with pytest.raises(SessionNotFound):
            await house.compaction.summary(stranger, "sess-1")
        with pytest.raises(SessionNotFound):
            await house.compaction.window(stranger, "sess-1", max_tokens=400, max_messages=10)
        with pytest.raises(SessionNotFound):
            await house.compaction.compact(stranger, "sess-1", CompactSession(max_tokens=100))
    assert (await house.compaction.sweep("globex", 100))["sessions_compacted"] == 0


async def test_an_archived_session_is_not_summarised(house: House) -> None:
    await house.create(messages=60)
    await house.sessions.archive(ANNA, "sess-1")
    with pytest.raises(SessionArchived):
        await house.compact(max_tokens=400)
    assert (await house.compact(max_tokens=10_000)).compacted is False


async def test_a_window_is_the_summary_and_what_fits_beside_it(house: House) -> None:
    await house.create(messages=60)
    without = await house.compaction.window(ANNA, "sess-1", max_tokens=200, max_messages=100)
    assert (without.summary, without.omitted) == (None, 60 - len(without.messages))
    assert 0 < without.tokens <= 200
    assert without.messages[-1].seq == 60
    answer = await house.compact(max_tokens=400)
    whole = await house.compaction.window(ANNA, "sess-1", max_tokens=400, max_messages=100)
    assert (whole.summary, whole.messages, whole.tokens) == (answer.summary, answer.messages, answer.tokens)
    few = await house.compaction.window(ANNA, "sess-1", max_tokens=400, max_messages=2)
    assert (len(few.messages), few.omitted) == (2, len(answer.messages) - 2)
    tiny = await house.compaction.window(ANNA, "sess-1", max_tokens=1, max_messages=100)
    assert (tiny.summary, tiny.messages, tiny.tokens, tiny.omitted) == (None, [], 0, 60)


async def test_an_empty_session_has_an_empty_window(house: House) -> None:
    await house.create()
    window = await house.compaction.window(ANNA, "sess-1", max_tokens=100, max_messages=10)
    assert (window.summary, window.messages, window.tokens, window.omitted) == (None, [], 0, 0)
    assert (await house.compact()).compacted is False


async def test_a_sweep_compacts_what_grew_in_every_tenant(house: House) -> None:
    other = Principal("globex", "gus")
    for number in range(3):
        await house.create(f"sess-big-{number}", messages=40)
    await house.create("sess-small", messages=3)
    await house.sessions.create(other, NewSession(session_id="sess-1"))
    for message in talk(40):
        await house.sessions.add_message(other, "sess-1", message)
    assert await house.compaction.sweep("acme", 400) == {"sessions_compacted": 3, "sessions_not_compacted": 0}
    assert [await house.covers(f"sess-big-{number}") > 0 for number in range(3)] == [True] * 3
    assert await house.covers("sess-small") == 0
    assert (await house.compaction.sweep(None, 400))["sessions_compacted"] == 1, "the other tenant's"
    assert (await house.compaction.sweep(None, 400))["sessions_compacted"] == 0
    await house.say("sess-big-1", *talk(30, first=41))
    assert (await house.compaction.sweep(None, 400))["sessions_compacted"] == 1


async def test_grown_sessions_come_in_pages_and_old_and_archived_ones_do_not(house: House, store: SessionStore) -> None:
    await house.create("sess-old", messages=10)
    house.clock.move(3600)
    for number in range(5):
        await house.create(f"sess-{number}", messages=10)
    await house.sessions.archive(ANNA, "sess-3")
    since, found, after = house.clock.now() - timedelta(minutes=1), [], None
    while page := await store.grown("acme", active_since=since, characters=100, after=after, limit=2):
        assert len(page) <= 2
        found += [each.session_id for each in page]
        after = page[-1]
    assert found == ["sess-0", "sess-1", "sess-2", "sess-4"]
    assert not await store.grown("acme", active_since=since, characters=10**6, after=None, limit=2)
    assert not await store.grown("globex", active_since=since, characters=1, after=None, limit=2)
