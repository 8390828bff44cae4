"""Metadata filters mean the same in Postgres and in memory, and never widen a search's reach."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bureau_contracts.memory import SearchMode
from kit.identity import Owner, Reach
from kit.ids import new_id
from services.memory.embedder_hashed import DIMENSIONS, NAME, vector_of
from services.memory.filters import matches, read
from services.memory.pgvector import Options
from services.memory.store import Draft, Filter, MemoryStore, Query, Wording
from services.memory.store_memory import InMemoryStore
from services.memory.store_pgvector import PgvectorStore
from services.memory.wording import digest, distinct_words
from tests.fakes import FixedClock

NOW = FixedClock().now()
ALICE, BOB = Owner("acme", "alice"), Owner("acme", "bob")
ALICES, ACMES = Reach("acme", "alice"), Reach("acme", None)


def _comparison(operator: str, path: Any, value: Any) -> Any:
    return {operator: [path, value]}


KEYS = ["a", "b", "c", "a.b", "ü'\"$1"]
texts = st.sampled_from(["", "x", "xy", "Y", "ü", "'; --", "10", "\\"])
numbers = st.integers(-3, 3) | st.sampled_from([0.5, -0.0, 2.0, 2**40, -1.25])
scalars = texts | numbers | st.booleans() | st.none()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
metadata = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
paths = st.sampled_from(["a", "b", "c", "a.b", "b.a.c"]) | st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)
comparisons = (
    st.builds(_comparison, st.sampled_from(["eq", "ne", "contains"]), paths, scalars)
    | st.builds(_comparison, st.sampled_from(["gt", "gte", "lt", "lte"]), paths, texts | numbers)
    | st.builds(lambda path, several: {"in": [path, several]}, paths, st.lists(scalars, min_size=1, max_size=4))
    | paths.map(lambda path: {"exists": path})
)
conditions = st.recursive(
    comparisons,
    lambda inner: (
        inner.map(lambda part: {"not": part})
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"and": parts})
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"or": parts})
    ),
    max_leaves=5,
)


@pytest.fixture(params=["memory", "pgvector exact", "pgvector index"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[MemoryStore]:
    if request.param == "memory":
        yield InMemoryStore(NAME)
        return
    exact_rows = 4000 if request.param == "pgvector exact" else 0
    url = request.getfixturevalue("memory_database_url")
    made = PgvectorStore(Options(url, NAME, DIMENSIONS, search_timeout_seconds=20, exact_rows=exact_rows))
    await made.prepare()
    yield made
    await made.close()


async def keep(store: MemoryStore, text: str, owner: Owner, about: dict[str, Any]) -> None:
    wording = Wording(text, digest(text), distinct_words(text), vector_of(text))
    await store.add([Draft(new_id("mem"), owner, wording, NOW, metadata=about)])


def found_by(condition: Any, mode: SearchMode) -> tuple[Filter, Query]:
    vector = None if mode is SearchMode.TEXT else vector_of("word")
    words = () if mode is SearchMode.VECTOR else ("word",)
    return Filter(NOW, metadata=read(condition)), Query(mode, vector, words, 100)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(metadata, min_size=1, max_size=5), conditions, st.sampled_from(list(SearchMode)))
async def test_a_filter_finds_exactly_what_it_describes_and_nothing_of_others(
    store: MemoryStore, given_metadata: list[dict[str, Any]], condition: Any, mode: SearchMode
) -> None:
    await store.erase(ALICE)
    await store.erase(BOB)
    for number, about in enumerate(given_metadata):
        await keep(store, f"word {number}", ALICE, about)
        await keep(store, f"word {number}", BOB, about)
    which, query = found_by(condition, mode)
    wanted = [f"word {number}" for number, each in enumerate(given_metadata) if matches(read(condition), each)]
    hits = await store.search(ALICES, which, query)
    assert {hit.memory.user_id for hit in hits} <= {"alice"}
    assert sorted(hit.memory.text for hit in hits) == wanted
    listed = await store.page(ALICES, which, 100, None)
    assert sorted(each.text for each in listed) == wanted
    assert len(await store.search(ACMES, which, query)) == 2 * len(wanted)


@pytest.mark.parametrize("step", [1, 10, 100], ids=lambda step: f"one in {step}")
async def test_a_selective_filter_loses_nothing(store: MemoryStore, step: int) -> None:
    for number in range(200):
        await keep(store, f"word {number}", ALICE, {"n": number, "chosen": number % step == 0})
    which, query = found_by({"eq": ["chosen", True]}, SearchMode.VECTOR)
    found = {hit.memory.metadata["n"] for hit in await store.search(ALICES, which, query)}
    # 100 are asked for; of the hundred nearest among 200, and of each of the rest, none may be missing.
    assert len(found) == min(100, 200 // step)
    assert all(number % step == 0 for number in found)
