"""Whatever part of the vectors a search may see, it finds the nearest of them: by comparing all, or by the index."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from bureau_contracts.memory import SearchMode
from deploy.local.postgres import EmbeddedPostgres
from kit.identity import Owner, Reach
from kit.ids import new_id
from services.memory.filters import Condition, read
from services.memory.pgvector import Options
from services.memory.statements import Model
from services.memory.store import Draft, Filter, Query, Wording
from services.memory.store_pgvector import PgvectorStore
from services.memory.wording import digest
from tests.fakes import FixedClock

NOW = FixedClock().now()
ROWS, DIMENSIONS, K = 4_000, 16, 10
SHARES = {"one-in-1000": 0.001, "one-in-100": 0.01, "one-in-10": 0.1}
EVERYBODY = Reach("acme", None)


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """Where one owner has a thousandth of the rows, others a hundredth, a tenth and the rest."""
    postgres_server.execute("CREATE DATABASE search_plans")
    url = postgres_server.url_of("search_plans")
    asyncio.run(fill(url))
    postgres_server.execute("ANALYZE", database="search_plans")
    yield url
    postgres_server.execute("DROP DATABASE search_plans WITH (FORCE)")


async def fill(url: str) -> None:
    drawn = random.Random(1)
    users = [name for name, share in SHARES.items() for _ in range(round(ROWS * share))]
    users += ["the-rest"] * (ROWS - len(users))
    drawn.shuffle(users)
    rows = [
        Draft(new_id("mem"), Owner("acme", user), wording(number, drawn), NOW, metadata={"tag": number % 300})
        for number, user in enumerate(users)
    ]
    store = await opened(url)
    for begin in range(0, ROWS, 500):
        await store.add(rows[begin : begin + 500])
    await store.close()


async def opened(url: str, exact_rows: int = 4000) -> PgvectorStore:
    options = Options(url, "drawn-16", DIMENSIONS, exact_rows=exact_rows, search_timeout_seconds=60,
                      request_timeout_seconds=60)  # fmt: skip
    store = PgvectorStore(options)
    await store.prepare()
    return store


def wording(number: int, drawn: random.Random) -> Wording:
    words = (
        "row",
        f"hundred{number // 100}",
        f"place{number % 100}",
        f"number{number}",
        "even" if number % 2 else "odd",
    )
    return Wording(f"row {number}", digest(f"row {number}"), words, vector(drawn))


def vector(drawn: random.Random) -> list[float]:
    return [drawn.gauss() for _ in range(DIMENSIONS)]


async def recall(url: str, exact_rows: int, reach: Reach, condition: Condition | None = None) -> float:
    """Of the ten nearest to each of twenty queries, the share that a store with this limit finds."""
    all_compared, chosen = await opened(url, ROWS), await opened(url, exact_rows)
    drawn, hits, wanted = random.Random(2), 0, 0
    for _ in range(20):
        query = Query(SearchMode.VECTOR, vector(drawn), (), K)
        which = Filter(NOW, metadata=condition)
        truth = {hit.memory.memory_id for hit in await all_compared.search(reach, which, query)}
        found = {hit.memory.memory_id for hit in await chosen.search(reach, which, query)}
        hits, wanted = hits + len(truth & found), wanted + len(truth)
    await all_compared.close()
    await chosen.close()
    assert wanted
    return hits / wanted


async def test_whatever_share_an_owner_has_its_nearest_are_found(url: str) -> None:
    for user in SHARES:
        assert await recall(url, 1000, Reach("acme", user)) == 1.0, user
    assert await recall(url, 1000, EVERYBODY) >= 0.98


async def test_where_the_index_is_scanned_first_no_owner_goes_short(url: str) -> None:
    assert await recall(url, 0, Reach("acme", "one-in-1000")) == 1.0
    assert await recall(url, 0, Reach("acme", "one-in-100")) == 1.0
    assert await recall(url, 0, Reach("acme", "one-in-10")) >= 0.95


async def test_a_filter_that_leaves_few_rows_of_many_loses_none_of_them(url: str) -> None:
    """The index is gone through until enough are found that the filter lets pass, but not for ever."""
    assert await recall(url, 0, EVERYBODY, read({"eq": ["tag", 7]})) == 1.0


@pytest.mark.parametrize(
    ("words", "k"),
    [
        (("number7", "row"), 5), (("hundred12", "place34"), 5), (("even", "row", "number9"), 50), (("row", "odd"), 20),
        (("row", "nowhere"), 200), (("row", "nowhere"), 1), (("nowhere",), 5),
    ],
)  # fmt: skip
async def test_where_not_all_are_ranked_by_words_the_best_come_first_and_none_goes_short(
    url: str, words: tuple[str, ...], k: int
) -> None:
    all_ranked, chosen = await opened(url, ROWS), await opened(url, 0)
    query = Query(SearchMode.TEXT, None, words, k)
    truth = await all_ranked.search(EVERYBODY, Filter(NOW), query)
    found = await chosen.search(EVERYBODY, Filter(NOW), query)
    assert len(found) == (k if "row" in words or "place34" in words else 0)
    assert [hit.text_rank for hit in found] == [hit.text_rank for hit in truth]
    await all_ranked.close()
    await chosen.close()


async def test_an_owner_that_stored_much_since_postgres_counted_rows_is_read_once_and_not_once_a_row(url: str) -> None:
    store = PgvectorStore(Options(url, "drawn-16", DIMENSIONS, pool_size=1, search_timeout_seconds=60))
    await store.prepare()
    drawn, many = random.Random(3), 400
    owner, reach = Owner("globex", "ann"), Reach("globex", "ann")
    await store.add([Draft(new_id("mem"), owner, wording(ROWS + number, drawn), NOW) for number in range(many)])
    before = await rows_read(store)
    assert len(await store.search(reach, Filter(NOW), Query(SearchMode.HYBRID, vector(drawn), ("row",), K))) == K
    searched = await rows_read(store)
    assert many <= searched - before < 20 * many
    await store.erase(owner)
    await store.close()


async def test_while_a_model_changes_the_index_of_the_one_before_is_enough(url: str) -> None:
    options = Options(
        url, "drawn-anew", DIMENSIONS, pool_size=1, exact_rows=0, search_timeout_seconds=60,
        previous=Model("drawn-16", DIMENSIONS),
    )  # fmt: skip
    store = PgvectorStore(options)
    await store.prepare()
    drawn = random.Random(4)
    query = Query(SearchMode.VECTOR, vector(drawn), (), K, previous_vector=vector(drawn))
    before = await rows_read(store)
    assert len(await store.search(EVERYBODY, Filter(NOW), query)) == K
    assert await rows_read(store) - before < 3 * ROWS, "comparing all after that reads as many several times more"
    await store.close()


async def rows_read(store: PgvectorStore) -> int:
    """By the one connection of this store, and all others."""
    async with store.database.connection(10) as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        counted = "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables WHERE schemaname = 'memory'"
        return int(await connection.fetchval(counted))
