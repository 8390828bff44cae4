"""What stores of a language promise of words in another form, on each adapter; a change of language on Postgres."""

import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bureau_contracts.memory import SearchMode
from kit.identity import Owner, Reach
from kit.ids import new_id
from services.memory.pgvector import Options
from services.memory.store import Change, Draft, Filter, Imported, MemoryStore, Query, Wording
from services.memory.store_memory import InMemoryStore
from services.memory.store_pgvector import PgvectorStore
from services.memory.upkeep import WordUpkeep
from services.memory.word_weights import weight
from services.memory.wording import digest, distinct_words
from tests.fakes import FixedClock

NOW = FixedClock().now()
ALICE, BOB, ALICES = Owner("acme", "alice"), Owner("acme", "bob"), Reach("acme", "alice")
ALL = Filter(NOW)
seconds = itertools.count()


@pytest.fixture(params=["memory", "pgvector"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[MemoryStore]:
    if request.param == "memory":
        yield InMemoryStore("none", "english")
        return
    made = await opened(request.getfixturevalue("memory_database_url"), "english")
    yield made
    await made.close()


async def opened(url: str, language: str) -> PgvectorStore:
    store = PgvectorStore(Options(url, "none", 3, pool_size=4, search_timeout_seconds=20, language=language))
    await store.prepare()
    return store


def worded(text: str, vector: list[float] | None = None) -> Wording:
    return Wording(text, digest(text), distinct_words(text), vector)


def draft(text: str, owner: Owner = ALICE, vector: list[float] | None = None, **fields: Any) -> Draft:
    return Draft(new_id("mem"), owner, worded(text, vector), NOW + timedelta(seconds=next(seconds)), **fields)


async def keep(store: MemoryStore, *texts: str) -> list[str]:
    return [(await store.add([draft(text)]))[0].memory_id for text in texts]


async def found(store: MemoryStore, q: str) -> list[tuple[str, float | None]]:
    hits = await store.search(ALICES, ALL, Query(SearchMode.TEXT, None, distinct_words(q), 10))
    return [(hit.memory.text, hit.text_rank) for hit in hits]


@pytest.mark.parametrize(
    ("q", "text"),
    [
        ("invoices", "The oxygen invoice is due"), ("invoice", "Two invoices wait"),
        ("preferred editor", "Prefers vim"), ("prefer", "Preferred vim once"), ("meetings", "A meeting at ten"),
        ("planned", "She plans a trip"), ("policies", "The policy of the house"), ("Boxes", "a box"),
    ],
)  # fmt: skip
async def test_a_word_is_found_in_another_form(store: MemoryStore, q: str, text: str) -> None:
    await keep(store, text, "Nothing of the kind")
    assert [each for each, _ in await found(store, q)] == [text]


async def test_a_word_as_written_counts_twice_as_much_as_in_another_form(store: MemoryStore) -> None:
    await keep(store, "Banks is her name", "a bank by the river")
    assert await found(store, "Banks") == [("Banks is her name", 1.0), ("a bank by the river", 0.5)]
    assert await found(store, "bank") == [("a bank by the river", 1.0), ("Banks is her name", 0.5)]


async def test_a_rare_word_outweighs_several_that_many_memories_have(store: MemoryStore) -> None:
    common = [f"The team meeting about the budget, part {number}" for number in range(30)]
    await keep(store, "Zanzibar", *common)
    (first, share), (_, least), *_ = await found(store, "team meeting about the budget in Zanzibar")
    assert first == "Zanzibar"
    assert share == round(weight(1, 31) / (weight(1, 31) + 3 * weight(30, 31)), 4)
    assert least == round(3 * weight(30, 31) / (weight(1, 31) + 3 * weight(30, 31)), 4)


async def test_what_others_keep_or_what_is_gone_makes_no_word_common(store: MemoryStore) -> None:
    await keep(store, "green tea", "black coffee")
    alone = await found(store, "tea coffee maté")
    await store.add([draft(f"tea {number}", owner=BOB) for number in range(50)])
    gone = await store.add([draft(f"more tea {number}") for number in range(20)])
    for each in gone:
        await store.delete(ALICES, each.memory_id, NOW)
    await store.add([draft(f"old tea {number}", expires_at=NOW) for number in range(20)])
    assert await found(store, "tea coffee maté") == alone


async def test_what_was_stored_lately_does_not_alone_tell_how_common_a_word_is(store: MemoryStore) -> None:
    await store.add([draft(f"report of day {number}") for number in range(300)])
    await keep(store, "Zanzibar")
    await store.add([draft(f"note {number}") for number in range(300)])
    (first, share), (_, least), *_ = await found(store, "report about Zanzibar")
    assert first == "Zanzibar"
    half, none = weight(128, 256), weight(0, 256)
    assert share == pytest.approx(none / (half + none), abs=0.03)
    assert least == pytest.approx(half / (half + none), abs=0.03)


async def test_a_stray_word_does_not_come_before_what_is_near(store: MemoryStore) -> None:
    near, further = [1.0, 0.0, 0.0], [0.8, 0.6, 0.0]
    for text, vector in (("Green tea at breakfast", near), ("The morning train to Oslo", further)):
        await store.add([draft(text, vector=vector)])
    q = distinct_words("Which beverage would she like to have every single morning?")
    hits = await store.search(ALICES, ALL, Query(SearchMode.HYBRID, near, q, 10))
    assert [hit.memory.text for hit in hits] == ["Green tea at breakfast", "The morning train to Oslo"]
    assert hits[1].matched == ["vector", "text"]


async def test_names_that_are_alike_stay_apart(store: MemoryStore) -> None:
    await keep(store, "Annette leads the team", "Annetta is her sister", "Mr Fields and Mrs Fielding")
    assert [text for text, _ in await found(store, "Annette")] == ["Annette leads the team"]
    assert [text for text, _ in await found(store, "annetta")] == ["Annetta is her sister"]


async def test_the_commonest_words_are_looked_for_only_when_there_are_no_others(store: MemoryStore) -> None:
    await keep(store, "where is the tea", "an invoice of March", "listens to The Who")
    assert [text for text, _ in await found(store, "where is the invoice?")] == ["an invoice of March"]
    assert ("listens to The Who", 1.0) in await found(store, "the who")


@pytest.mark.parametrize(
    ("text", "q"),
    [
        ("she said \"don't\"", "don't"), ("C:\\temp\\new & | ! ( ) <-> :* ~", "temp & new | !('~"), ("50%; --", "50"),
        ("お気に入りは東京タワーです", "東京"), ("party 🎉🎉 tonight", "🎉"), ("हिन्दी में लिखा", "हिन्दी"),
        ("x" * 5000, "x" * 5000), ("'; DROP TABLE memory.item; --", "drop tables"),
    ],
)  # fmt: skip
async def test_words_of_other_languages_and_signs_are_found_as_written(store: MemoryStore, text: str, q: str) -> None:
    await keep(store, "something else", text)
    assert [each for each, _ in await found(store, q)] == [text]


async def test_the_most_varied_texts_have_room_for_their_base_forms(store: MemoryStore) -> None:
    ideographs = "".join(map(chr, range(0x4E00, 0x9FA5)))
    astral = "".join(map(chr, itertools.islice(itertools.cycle(range(0x20000, 0x2A6DF)), 100_000)))
    varied = " ".join(f"w{number:x}" for number in range(18_000))
    assert len(await keep(store, ideographs, astral, varied)) == 3


async def test_a_changed_text_and_a_large_batch_are_read_too(store: MemoryStore) -> None:
    (memory_id,) = await keep(store, "likes tea")
    await store.update(ALICES, memory_id, Change(worded("pays its invoices")), NOW)
    await store.add([draft(f"meeting {number}") for number in range(60)])
    assert [text for text, _ in await found(store, "invoice")] == ["pays its invoices"]
    assert len(await found(store, "meetings")) == 10
    assert (await found(store, "meetings 7"))[0][0] == "meeting 7"


async def test_what_is_imported_is_read_too(store: MemoryStore) -> None:
    await keep(store, "Two invoices wait")
    (exported,) = await store.export(ALICES, NOW, "", 10)
    await store.erase(ALICE)
    assert await store.import_all([Imported(exported.memory, worded(exported.memory.text), [])], NOW) == [True]
    assert await found(store, "invoice") == [("Two invoices wait", 0.5)]


async def test_after_a_change_of_language_memories_are_read_anew_in_the_background(database_url: str) -> None:
    before = await opened(database_url, "simple")
    await keep(before, "Two invoices wait", "Die Rechnungen sind da")
    assert await found(before, "invoice") == []
    after = await opened(database_url, "english")
    assert await found(after, "invoice") == []
    assert await found(after, "invoices") == [("Two invoices wait", 0.5)], "as written it is found meanwhile"
    upkeep = WordUpkeep(after)
    await upkeep.run()
    assert await upkeep.ping() == ""
    assert await found(after, "invoice") == [("Two invoices wait", 0.5)]
    assert await found(after, "invoices") == [("Two invoices wait", 1.0)]
    german = await opened(database_url, "german")
    await WordUpkeep(german).run()
    assert await found(german, "Rechnung") == [("Die Rechnungen sind da", 0.5)]
    assert await found(german, "rechnungen") == [("Die Rechnungen sind da", 1.0)], "nothing of English is left"
    for each in (before, after, german):
        await each.close()


async def test_the_language_that_was_chosen_last_has_its_way(database_url: str) -> None:
    """While an old process still runs beside a new one, they do not read each other's memories anew for ever."""
    old = await opened(database_url, "simple")
    new = await opened(database_url, "english")
    await keep(new, "an invoice")
    await keep(old, "two invoices")
    old_upkeep, new_upkeep = WordUpkeep(old), WordUpkeep(new)
    await old_upkeep.run()
    assert await old_upkeep.ping() == "1 memories were read in another language"
    await new_upkeep.run()
    assert await new_upkeep.ping() == ""
    assert [text for text, _ in await found(new, "invoice")] == ["an invoice", "two invoices"]
    await old.close()
    await new.close()
