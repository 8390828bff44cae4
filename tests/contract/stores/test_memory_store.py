"""What every store of memories promises, on each adapter; Postgres with exact searches and with index scans."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bureau_contracts.memory import MemoryKind, SearchMode
from kit.identity import Owner, Reach
from kit.ids import new_id
from services.memory.embedder_hashed import DIMENSIONS, NAME, vector_of
from services.memory.pgvector import Options
from services.memory.store import (
    FUSION_OFFSET,
    Change,
    Draft,
    Filter,
    MemoryStore,
    Position,
    Query,
    SameText,
    Wording,
)
from services.memory.store_memory import InMemoryStore
from services.memory.store_pgvector import PgvectorStore
from services.memory.word_weights import weight
from services.memory.wording import digest, distinct_words
from tests.fakes import FixedClock

NOW = FixedClock().now()
ALICE, BOB = Owner("acme", "alice"), Owner("acme", "bob")
ALICES, BOBS, ACMES = Reach("acme", "alice"), Reach("acme", "bob"), Reach("acme", None)
ALL = Filter(NOW)
MODES = list(SearchMode)


@pytest.fixture(params=["memory", "pgvector exact", "pgvector index"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[MemoryStore]:
    if request.param == "memory":
        yield InMemoryStore(NAME)
        return
    url = request.getfixturevalue("memory_database_url")
    exact_rows = 4000 if request.param == "pgvector exact" else 0
    # Generous: a search must not degrade because the machine that runs the tests is busy.
    options = Options(url, NAME, DIMENSIONS, pool_size=4, search_timeout_seconds=20, exact_rows=exact_rows)
    store = PgvectorStore(options)
    await store.prepare()
    yield store
    await store.close()


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def worded(text: str) -> Wording:
    return Wording(text, digest(text), distinct_words(text), vector_of(text))


def draft(text: str, owner: Owner = ALICE, seconds: float = 0, **fields: Any) -> Draft:
    return Draft(new_id("mem"), owner, worded(text), at(seconds), **fields)


def query(q: str, mode: SearchMode = SearchMode.HYBRID, k: int = 5, min_score: float | None = None) -> Query:
    vector = None if mode is SearchMode.TEXT else vector_of(q)
    return Query(mode, vector, () if mode is SearchMode.VECTOR else distinct_words(q), k, min_score)


async def keep(store: MemoryStore, *texts: str, owner: Owner = ALICE, **fields: Any) -> list[str]:
    """Stores the texts, each a second after the one before; their IDs."""
    return [
        (await store.add([draft(text, owner, seconds, **fields)]))[0].memory_id for seconds, text in enumerate(texts)
    ]


async def found(
    store: MemoryStore, q: str, reach: Reach = ALICES, which: Filter = ALL, **query_fields: Any
) -> list[str]:
    return [hit.memory.text for hit in await store.search(reach, which, query(q, **query_fields))]


async def test_a_stored_memory_comes_back_whole(store: MemoryStore) -> None:
    given_draft = draft(
        "I prefer vim", agent="tickets", session_id="sess-1", source_seqs=[1, 2**53], kind=MemoryKind.PREFERENCE,
        metadata={"a": [1, {"b": None}], "ü": "☃", "big": 2**70}, importance=0.25, expires_at=at(60),
    )  # fmt: skip
    (stored,) = await store.add([given_draft])
    assert stored.created
    assert stored.memory_id == given_draft.memory_id
    memory = await store.get(ALICES, stored.memory_id, NOW)
    assert memory is not None
    assert memory.model_dump() == {
        "memory_id": stored.memory_id, "tenant": "acme", "user_id": "alice", "agent": "tickets",
        "session_id": "sess-1", "source_seqs": [1, 2**53], "text": "I prefer vim", "kind": "preference",
        "metadata": {"a": [1, {"b": None}], "ü": "☃", "big": 2**70}, "importance": 0.25, "valid_from": NOW,
        "valid_to": None, "expires_at": at(60), "embedding_model": NAME, "created_at": NOW, "updated_at": NOW,
        "last_used_at": None, "use_count": 0, "origin": "user", "quarantined": False, "supersedes": None,
        "superseded_by": None,
    }  # fmt: skip


async def test_an_unknown_memory_is_none_everywhere(store: MemoryStore) -> None:
    assert await store.get(ALICES, "mem-0", NOW) is None
    assert await store.history(ALICES, "mem-0", NOW) is None
    assert await store.update(ALICES, "mem-0", Change(importance=1), NOW) is None
    assert not await store.delete(ALICES, "mem-0", NOW)


@pytest.mark.parametrize("reach", [BOBS, Reach("globex", "alice"), Reach("globex", None)], ids=str)
async def test_nobody_else_sees_changes_or_deletes_a_memory(store: MemoryStore, reach: Reach) -> None:
    (memory_id,) = await keep(store, "the secret plan")
    assert await store.get(reach, memory_id, NOW) is None
    assert await store.history(reach, memory_id, NOW) is None
    assert await store.update(reach, memory_id, Change(worded("mine now")), NOW) is None
    assert not await store.delete(reach, memory_id, NOW)
    assert await store.page(reach, ALL, 10, None) == []
    for mode in MODES:
        assert await found(store, "the secret plan", reach, mode=mode) == []
    memory = await store.get(ALICES, memory_id, NOW)
    assert memory is not None
    assert memory.text == "the secret plan"


async def test_a_tenant_wide_reach_sees_every_user_of_its_tenant(store: MemoryStore) -> None:
    await keep(store, "apples", owner=ALICE)
    await keep(store, "apples too", owner=BOB)
    await keep(store, "apples elsewhere", owner=Owner("globex", "alice"))
    for mode in MODES:
        assert sorted(await found(store, "apples", ACMES, mode=mode)) == ["apples", "apples too"]
    assert {memory.user_id for memory in await store.page(ACMES, ALL, 10, None)} == {"alice", "bob"}


@pytest.mark.parametrize("again", ["Likes  TEA", "likes tea", " likes\u00a0tea\n", "ｌｉｋｅｓ tea"])
async def test_the_same_text_of_an_owner_is_stored_once(store: MemoryStore, again: str) -> None:
    (first,) = await store.add([draft("likes tea")])
    (second,) = await store.add([draft(again)])
    assert (second.created, second.memory_id) == (False, first.memory_id)
    assert len(await store.page(ALICES, ALL, 10, None)) == 1


async def test_another_user_agent_or_tenant_has_its_own_copy(store: MemoryStore) -> None:
    drafts = [
        draft("likes tea"), draft("likes tea", agent="tickets"), draft("likes tea", agent="finops"),
        draft("likes tea", BOB), draft("likes tea", Owner("globex", "alice")),
    ]  # fmt: skip
    assert [stored.created for stored in await store.add(drafts)] == [True] * 5


async def test_a_batch_answers_for_each_text_in_order(store: MemoryStore) -> None:
    (old,) = await keep(store, "old")
    first, second = draft("new"), draft("newer")
    stored = await store.add([first, draft("OLD"), second, draft("New")])
    ids = [each.memory_id for each in stored]
    assert ids == [first.memory_id, old, second.memory_id, first.memory_id]
    assert [each.created for each in stored] == [True, False, True, False]


async def test_a_large_batch_is_stored_as_a_small_one_is(store: MemoryStore) -> None:
    (known,) = await keep(store, "text 7")
    drafts = [
        draft(
            f"text {number % 100}", agent=None if number % 2 else "tickets", source_seqs=[number, 2**53],
            metadata={"n": [number, None, "ü"]}, importance=number / 200, expires_at=at(60),
        )
        for number in range(200)
    ]  # fmt: skip
    drafts.append(draft("TEXT 7"))
    stored = await store.add(drafts)
    assert sum(each.created for each in stored) == 99, "a hundred texts, of which one was there; the rest are doubles"
    assert stored[-1].memory_id == stored[7].memory_id == known
    whole = await store.get(ALICES, stored[12].memory_id, NOW)
    assert whole is not None
    assert (whole.text, whole.agent, whole.source_seqs, whole.metadata) == (
        "text 12", "tickets", [12, 2**53], {"n": [12, None, "ü"]},
    )  # fmt: skip
    assert (await found(store, "text 98", mode=SearchMode.VECTOR))[0] == "text 98"
    again = await store.add([replace(each, memory_id=new_id("mem")) for each in drafts])
    assert [each.memory_id for each in again] == [each.memory_id for each in stored]
    assert not any(each.created for each in again)


async def test_a_text_that_many_store_at_once_is_stored_once(store: MemoryStore) -> None:
    answers = await asyncio.gather(*(store.add([draft("race", BOB), draft(f"own {n}")]) for n in range(12)))
    assert sum(answer[0].created for answer in answers) == 1
    assert len({answer[0].memory_id for answer in answers}) == 1
    assert all(answer[1].created for answer in answers)


async def test_batches_that_share_texts_in_opposite_order_do_not_block_each_other(store: MemoryStore) -> None:
    owners = [ALICE, BOB, Owner("globex", "carol")]
    batch = [(f"text {n}", owner) for n in range(20) for owner in owners]
    answers = await asyncio.gather(
        *(store.add([draft(text, owner) for text, owner in rows]) for rows in (batch, batch[::-1], batch, batch[::-1]))
    )
    assert sum(each.created for answer in answers for each in answer) == len(batch)


async def test_pages_go_newest_first_without_gap_or_double(store: MemoryStore) -> None:
    await keep(store, *(f"memory {number}" for number in range(5)))
    await store.add([draft("twin 1", seconds=9), draft("twin 2", seconds=9)])
    seen: list[str] = []
    after = None
    for _ in range(10):
        page = await store.page(ALICES, ALL, 2, after)
        if not page:
            break
        seen += [memory.text for memory in page]
        after = Position(page[-1].created_at, page[-1].memory_id)
    assert sorted(seen[:2]) == ["twin 1", "twin 2"]
    assert seen[2:] == [f"memory {number}" for number in (4, 3, 2, 1, 0)]


async def test_lists_and_searches_are_narrowed_by_agent_and_kind(store: MemoryStore) -> None:
    await store.add([
        draft("tea one", agent="tickets", kind=MemoryKind.FACT), draft("tea two", agent="finops"),
        draft("tea three", agent="tickets", kind=MemoryKind.EPISODE), draft("tea four"),
    ])  # fmt: skip
    for which, expected in (
        (Filter(NOW, agent="tickets"), {"tea one", "tea three"}),
        (Filter(NOW, kind=MemoryKind.EPISODE), {"tea three"}),
        (Filter(NOW, "tickets", MemoryKind.FACT), {"tea one"}),
        (Filter(NOW, "nobody"), set()),
    ):
        assert {memory.text for memory in await store.page(ALICES, which, 10, None)} == expected
        for mode in MODES:
            assert set(await found(store, "tea", which=which, mode=mode)) == expected


async def test_an_update_changes_what_is_given_and_keeps_the_version_before(store: MemoryStore) -> None:
    (memory_id,) = await keep(store, "lives in Rome", metadata={"a": 1})
    memory = await store.update(ALICES, memory_id, Change(worded("lives in Paris")), at(5))
    assert memory is not None
    assert (memory.text, memory.metadata, memory.updated_at) == ("lives in Paris", {"a": 1}, at(5))
    assert memory == await store.get(ALICES, memory_id, NOW)
    await store.update(ALICES, memory_id, Change(importance=1.0, kind=MemoryKind.EPISODE, metadata={}), at(6))
    versions = await store.history(ALICES, memory_id, NOW)
    assert versions is not None
    assert [(v.text, v.metadata, v.importance, v.kind, v.replaced_at) for v in versions] == [
        ("lives in Paris", {"a": 1}, 0.5, MemoryKind.FACT, at(6)),
        ("lives in Rome", {"a": 1}, 0.5, MemoryKind.FACT, at(5)),
    ]


async def test_after_an_update_the_new_text_is_found_and_the_old_is_not(store: MemoryStore) -> None:
    (memory_id,) = await keep(store, "lives in Rome")
    await store.update(ALICES, memory_id, Change(worded("lives in Paris")), at(5))
    assert await found(store, "rome", mode=SearchMode.TEXT) == []
    assert await found(store, "paris", mode=SearchMode.TEXT) == ["lives in Paris"]
    (hit,) = await store.search(ALICES, ALL, query("lives in Paris", SearchMode.VECTOR))
    assert hit.similarity == pytest.approx(1, abs=0.01)
    assert (await store.add([draft("lives in Rome")]))[0].created


async def test_an_update_that_changes_nothing_leaves_no_version(store: MemoryStore) -> None:
    (memory_id,) = await keep(store, "likes tea", metadata={"a": 1})
    memory = await store.update(ALICES, memory_id, Change(worded("likes tea"), metadata={"a": 1}), at(5))
    assert memory is not None
    assert memory.updated_at == NOW
    assert await store.history(ALICES, memory_id, NOW) == []


async def test_an_update_to_a_text_the_owner_has_is_refused(store: MemoryStore) -> None:
    first, _ = await keep(store, "likes tea", "likes coffee")
    with pytest.raises(SameText):
        await store.update(ALICES, first, Change(worded("Likes  Coffee")), at(5))
    assert await store.history(ALICES, first, NOW) == []
    memory = await store.update(ALICES, first, Change(worded("Likes TEA")), at(5))
    assert memory is not None
    assert memory.text == "Likes TEA"


async def test_a_deleted_memory_is_gone_and_can_be_stored_anew(store: MemoryStore) -> None:
    (memory_id,) = await keep(store, "likes tea")
    await store.update(ALICES, memory_id, Change(importance=1), at(1))
    assert await store.delete(ALICES, memory_id, NOW)
    assert not await store.delete(ALICES, memory_id, NOW)
    assert await found(store, "likes tea") == []
    (again,) = await store.add([draft("likes tea")])
    assert again.created
    assert await store.history(ALICES, again.memory_id, NOW) == []


async def test_erasing_takes_one_owners_memories_and_nobody_elses(store: MemoryStore) -> None:
    await store.add([draft("a"), draft("b", agent="tickets"), draft("c", expires_at=at(-1)), draft("a", BOB)])
    await store.add([draft("a", Owner("globex", "alice"))])
    assert await store.erase(ALICE) == 3
    assert await store.erase(ALICE) == 0
    assert await store.page(ALICES, Filter(at(-10)), 10, None) == []
    assert len(await store.page(BOBS, ALL, 10, None)) == 1
    assert len(await store.page(Reach("globex", "alice"), ALL, 10, None)) == 1


async def test_an_expired_memory_is_not_found_anywhere(store: MemoryStore) -> None:
    (memory_id,) = await keep(store, "parking level 3", expires_at=at(60))
    assert await found(store, "parking", which=Filter(at(59.9))) == ["parking level 3"]
    late = Filter(at(60))
    for mode in MODES:
        assert await found(store, "parking", which=late, mode=mode) == []
    assert await store.page(ALICES, late, 10, None) == []
    assert await store.get(ALICES, memory_id, late.now) is None
    assert await store.history(ALICES, memory_id, late.now) is None
    assert await store.update(ALICES, memory_id, Change(importance=1), late.now) is None
    assert not await store.delete(ALICES, memory_id, late.now)


async def test_an_expired_memory_does_not_stand_in_the_way_of_its_text(store: MemoryStore) -> None:
    old, other = await keep(store, "parking level 3", "bike in the cellar", expires_at=at(60))
    (new,) = await store.add([draft("parking level 3", seconds=60)])
    assert new.created
    assert new.memory_id != old
    changed = await store.update(ALICES, new.memory_id, Change(worded("bike in the cellar")), at(61))
    assert changed is not None
    assert await store.get(ALICES, other, NOW) is None


async def test_an_expiry_can_be_moved_and_taken_away(store: MemoryStore) -> None:
    (memory_id,) = await keep(store, "parking level 3", expires_at=at(60))
    moved = await store.update(ALICES, memory_id, Change(expires_at=at(90)), NOW)
    assert moved is not None
    assert moved.expires_at == at(90)
    lasting = await store.update(ALICES, memory_id, Change(lasts=True), at(80))
    assert lasting is not None
    assert lasting.expires_at is None
    assert await store.get(ALICES, memory_id, at(1e6)) == lasting


NOTES = (
    "Prefers the dark theme in every editor", "The oxygen invoice is due on the 14th of March",
    "Her manager is called Annette", "Kubernetes cluster blue runs in Frankfurt", "Allergic to peanuts",
)  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("q", "expected"), [("dark editor theme", 0), ("when is the invoice due", 1), ("Frankfurt cluster?", 3)]
)
async def test_the_memory_that_fits_best_comes_first(
    store: MemoryStore, mode: SearchMode, q: str, expected: int
) -> None:
    await keep(store, *NOTES)
    assert (await found(store, q, mode=mode))[0] == NOTES[expected]


async def test_a_hit_says_how_and_how_well_it_matched(store: MemoryStore) -> None:
    await keep(store, *NOTES)
    (text,) = await store.search(ALICES, ALL, query("annette peanut", SearchMode.TEXT))
    share = round(weight(1, len(NOTES)) / (weight(1, len(NOTES)) + weight(0, len(NOTES))), 4)
    assert (text.score, text.text_rank, text.similarity, text.matched) == (share, share, None, ["text"])
    vector = await store.search(ALICES, ALL, query("allergic to peanuts", SearchMode.VECTOR))
    assert vector[0].score == vector[0].similarity == pytest.approx(1, abs=0.01)
    assert (vector[0].text_rank, vector[0].matched) == (None, ["vector"])
    assert len(vector) == 5
    best, *rest = await store.search(ALICES, ALL, query("peanuts", SearchMode.HYBRID))
    assert best.score == pytest.approx(2 / (FUSION_OFFSET + 1))
    assert best.matched == ["vector", "text"]
    assert [hit.matched for hit in rest] == [["vector"]] * 4
    assert rest[0].score == pytest.approx(1 / (FUSION_OFFSET + 2))
    assert [hit.score for hit in rest] == sorted((hit.score for hit in rest), reverse=True)


async def test_equals_in_the_text_ranking_share_a_place_and_come_newer_first(store: MemoryStore) -> None:
    await keep(store, "tea at nine", "tea at ten", "tea and cake at noon")
    hits = await store.search(ALICES, ALL, query("cake tea", SearchMode.TEXT))
    share = round(weight(3, 3) / (weight(3, 3) + weight(1, 3)), 4)
    assert [(hit.memory.text, hit.text_rank) for hit in hits] == [
        ("tea and cake at noon", 1.0), ("tea at ten", share), ("tea at nine", share),
    ]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
async def test_a_least_score_leaves_the_weaker_ones_out(store: MemoryStore, mode: SearchMode) -> None:
    await keep(store, *NOTES)
    hits = await store.search(ALICES, ALL, query("allergic to peanuts", mode))
    least = hits[0].score - 1e-6
    assert await found(store, "allergic to peanuts", mode=mode, min_score=least) == ["Allergic to peanuts"]
    assert await found(store, "allergic to peanuts", mode=mode, min_score=2.0) == []


@pytest.mark.parametrize("mode", MODES)
async def test_k_bounds_the_answer(store: MemoryStore, mode: SearchMode) -> None:
    await store.add([draft(f"tea number {number}", seconds=number) for number in range(60)])
    for k in (1, 7, 100):
        assert len(await found(store, "tea number", mode=mode, k=k)) == min(k, 60)


@pytest.mark.parametrize("mode", MODES)
async def test_a_search_without_memories_or_without_words_is_empty(store: MemoryStore, mode: SearchMode) -> None:
    assert await found(store, "anything", mode=mode) == []
    await keep(store, "tea")
    assert await found(store, "?!…", mode=SearchMode.TEXT) == []


@pytest.mark.parametrize(
    ("text", "q"),
    [
        ("she said \"don't\"", "don't"), ("C:\\temp\\new & | ! ( ) <-> :*", "temp & new | !('"), ("50%; --", "50"),
        ("お気に入りは東京タワーです", "東京"), ("我喜欢喝茶", "喝茶"), ("party 🎉🎉 tonight", "🎉"),
        ("ÉCLAIR au café", "éclair"),
        ("mail ann@example.com", "example"), ("a_b/c.d-e", "d e"), ("हिन्दी में लिखा", "हिन्दी"), ("x" * 5000, "x" * 5000),
        ("l'été \ufb01n", "fin"), ("'; DROP TABLE memory.item; --", "drop table"),
    ],
)  # fmt: skip
async def test_any_text_is_kept_as_it_is_and_found_by_its_words(store: MemoryStore, text: str, q: str) -> None:
    await keep(store, "something else", text)
    for mode in MODES:
        assert (await found(store, q, mode=mode))[0] == text


async def test_the_longest_and_most_varied_texts_can_be_stored(store: MemoryStore) -> None:
    ideographs = "".join(map(chr, range(0x4E00, 0x9FA5)))
    astral = "".join(map(chr, itertools.islice(itertools.cycle(range(0x20000, 0x2A6DF)), 100_000)))
    varied = " ".join(f"w{number:x}" for number in range(18_000))
    for text in (ideographs, astral, varied, "\ufdfa" * 5000):
        (stored,) = await store.add([draft(text)])
        memory = await store.get(ALICES, stored.memory_id, NOW)
        assert memory is not None
        assert memory.text == text


async def test_uses_add_up_and_those_of_deleted_memories_are_passed_over(store: MemoryStore) -> None:
    first, second = await keep(store, "one", "two")
    await store.note_used({first: 2, second: 1, "mem-gone": 4}, at(5))
    await store.note_used({first: 1}, at(7))
    memory = await store.get(ALICES, first, NOW)
    assert memory is not None
    assert (memory.use_count, memory.last_used_at) == (3, at(7))
    (hit,) = await store.search(ALICES, ALL, query("two", SearchMode.TEXT))
    assert (hit.memory.use_count, hit.memory.last_used_at) == (1, at(5))
    assert await store.delete(ALICES, first, NOW)


_tenants = itertools.count()
_texts = st.text(st.sampled_from("tea cofé東京🎉'\"\\&|!"), min_size=1, max_size=12).filter(str.strip)
_rows = st.lists(
    st.tuples(
        st.sampled_from(["alice", "bob"]), st.booleans(), _texts, st.sampled_from([None, "tickets"]),
        st.sampled_from(list(MemoryKind)[:2]),
    ),
    min_size=1,
    max_size=8,
)  # fmt: skip


@given(
    rows=_rows, q=_texts, mode=st.sampled_from(MODES), agent=st.sampled_from([None, "tickets", "finops"]),
    kind=st.sampled_from([None, *list(MemoryKind)[:2]]), k=st.integers(1, 100),
    min_score=st.none() | st.floats(-1, 1), user=st.sampled_from([None, "alice", "bob", "carol"]),
)  # fmt: skip
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_search_never_leaves_its_reach_whatever_the_filter(
    store: MemoryStore, rows: list[tuple[str, bool, str, str | None, MemoryKind]], q: str, mode: SearchMode,
    agent: str | None, kind: MemoryKind | None, k: int, min_score: float | None, user: str | None,
) -> None:  # fmt: skip
    ours, others = f"tenant-{next(_tenants)}", f"tenant-{next(_tenants)}"
    drafts = [
        draft(text, Owner(ours if is_ours else others, who), agent=whose, kind=what)
        for who, is_ours, text, whose, what in rows
    ]
    await store.add(drafts)
    hits = await store.search(Reach(ours, user), Filter(NOW, agent, kind), query(q, mode, k, min_score))
    assert len(hits) <= k
    for hit in hits:
        assert hit.memory.tenant == ours
        assert user in (None, hit.memory.user_id)
        assert agent in (None, hit.memory.agent)
        assert kind in (None, hit.memory.kind)
        assert min_score is None or hit.score >= min_score


async def test_every_row_of_an_owner_is_within_a_searchs_sight(store: MemoryStore) -> None:
    """However few of all rows are one owner's: an index must not lose them among the others'."""
    await store.add([draft(f"other note {number} on tea", BOB) for number in range(300)])
    own = [draft(f"note {number} on tea") for number in range(5)]
    await store.add(own)
    wanted = replace(query("note on tea", SearchMode.VECTOR), k=5)
    hits = await store.search(ALICES, ALL, wanted)
    assert {hit.memory.memory_id for hit in hits} == {each.memory_id for each in own}
