"""`python -m benchmarks.memory [--quick]`: storing and searching memories, beside the same SQL over bare asyncpg.

Both sides sync every commit and use one table with its HNSW index in place. Ours is the service without HTTP: reading
the text, choosing the plan, contracts. The embedder is a stand-in that costs nothing: 384 dimensions, clustered.
"""

import argparse
import asyncio
import math
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeAlias

import asyncpg
import structlog

from bureau_contracts.memory import EmbedPurpose, NewMemory, SearchMode
from deploy.local.postgres import EmbeddedPostgres
from kit.clock import SystemClock
from kit.identity import TENANT_WIDE, Owner, Principal
from kit.ids import new_id
from services.memory import statements, statements_additions, statements_search, statements_upkeep
from services.memory.additions_pgvector import columns
from services.memory.database import Pool
from services.memory.pgvector import Options
from services.memory.service import Look, MemoryService, Wanted
from services.memory.store import CANDIDATES, Draft, Wording
from services.memory.store_pgvector import PgvectorStore
from services.memory.usage import UsageCounts
from services.memory.vectors import Vectors
from services.memory.wording import digest, distinct_words

EVERYBODY = Principal("acme", "operator", scopes=frozenset({TENANT_WIDE}))
K = 10
BUILD_MEMORY = "512MB"  # holds the graph of 100,000; with less of it building takes several times as long
BATCH = 200
CALLERS = 32
NOISE = 0.07  # beside a unit centre: two texts of a cluster then have a cosine of about 0.6
SHARES = {"a tenth": 0.1, "a hundredth": 0.01, "a thousandth": 0.001}
COLOURS = ("red", "green", "blue", "amber", "black", "white", "violet", "golden")
SIZES = ("tiny", "small", "large", "huge", "flat", "round", "tall", "wide")

NamedRow: TypeAlias = tuple[str, str, list[float]]
"""Whose, text, vector."""


class ClusteredEmbedder:
    """Made-up vectors with the structure of real ones. They are made beforehand, so that none is measured."""

    name = "benchmark-384"
    dimensions = 384
    strength = "made up"

    def __init__(self, clusters: int) -> None:
        self._random = random.Random(1)
        self._centres = [self._unit([self._random.gauss() for _ in range(self.dimensions)]) for _ in range(clusters)]
        self._made: dict[str, list[float]] = {}

    def make(self, text: str) -> list[float]:
        centre, draw = self._random.choice(self._centres), self._random.random
        self._made[text] = self._unit([value + NOISE * (2 * draw() - 1) for value in centre])
        return self._made[text]

    def forget(self) -> None:
        self._made.clear()

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose) -> list[list[float]]:
        return [self._made[text] for text in texts]

    def _unit(self, vector: list[float]) -> list[float]:
        length = math.sqrt(math.fsum(value * value for value in vector))
        return [value / length for value in vector]


@dataclass
class Bench:
    service: MemoryService
    options: Options
    embedder: ClusteredEmbedder
    bare: "asyncpg.Connection[asyncpg.Record]"

    async def fill(self, rows: int) -> None:
        """Half through the service, half by bare SQL, in turns."""
        owners = [(name, round(rows * share)) for name, share in SHARES.items()]
        names = [name.replace(" ", "-") for name, count in owners for _ in range(count)]
        names += [f"user-{number % 50}" for number in range(rows - len(names))]
        random.Random(2).shuffle(names)
        spent = {"ours": 0.0, "reference": 0.0}
        for begin in range(0, rows, BATCH):
            users = names[begin : begin + BATCH]
            texts = [self._text(begin + number) for number in range(len(users))]
            vectors = [self.embedder.make(text) for text in texts]
            side = "ours" if begin // BATCH % 2 else "reference"
            began = time.perf_counter()
            if side == "ours":
                memories = [NewMemory(text=text, user_id=user) for text, user in zip(texts, users, strict=True)]
                await self.service.remember(EVERYBODY, memories)
            else:
                await self.bare.execute(statements_additions.ADD, *self._rows(texts, users, vectors))
            spent[side] += time.perf_counter() - began
            self.embedder.forget()
        half = rows / 2
        report(f"store {rows:,} in batches of {BATCH}, rows/s", half / spent["ours"], half / spent["reference"])
        await self.bare.execute("ANALYZE memory.item; ANALYZE memory.embedding; ANALYZE memory.owner")

    async def one_by_one(self, rows: int) -> None:
        """CALLERS that store one memory after the other, of fifty owners; each side in turn, in four rounds."""
        spent = {"ours": 0.0, "reference": 0.0}
        pool = await asyncpg.create_pool(self.options.url, min_size=10, max_size=10)
        for number in range(8):
            side = "ours" if number % 2 else "reference"
            texts = [f"one {number} {each} more thing" for each in range(rows // 8)]
            left = iter([(f"user-{each % 50}", text, self.embedder.make(text)) for each, text in enumerate(texts)])
            store = self._remember_one if side == "ours" else partial(self._insert_one, pool)
            began = time.perf_counter()
            await asyncio.gather(*(_each(store, left) for _ in range(CALLERS)))
            spent[side] += time.perf_counter() - began
            self.embedder.forget()
        await pool.close()
        half = rows / 2
        report(f"store one by one, {CALLERS} callers, rows/s", half / spent["ours"], half / spent["reference"])

    async def _remember_one(self, user: str, text: str, _: Sequence[float]) -> None:
        await self.service.remember(EVERYBODY, [NewMemory(text=text, user_id=user)])

    async def _insert_one(self, pool: Pool, user: str, text: str, vector: list[float]) -> None:
        async with pool.acquire() as connection:
            await connection.execute(statements_additions.ADD, *self._rows([text], [user], [vector]))

    def _text(self, number: int) -> str:
        return f"note {number} on a {COLOURS[number % 8]} {SIZES[number // 8 % 8]} thing"

    def _rows(self, texts: Sequence[str], users: Sequence[str], vectors: Sequence[list[float]]) -> list[object]:
        now = datetime.now(UTC)
        drafts = [
            Draft(new_id("mem"), Owner("acme", user), Wording(text, digest(text), distinct_words(text), vector), now)
            for text, user, vector in zip(texts, users, vectors, strict=True)
        ]
        return list(columns(drafts, self.options))

    async def ours(self, text: str, user: str | None = None, mode: SearchMode = SearchMode.VECTOR) -> list[str]:
        found = await self.service.search(EVERYBODY, Wanted(user_id=user), Look(text, K, mode))
        assert not found.degraded
        return [hit.memory.memory_id for hit in found.hits]

    async def reference(self, text: str, user: str | None = None, exact: bool = False) -> list[str]:
        still_true = "(i.valid_to IS NULL OR i.valid_to > $5)"
        narrowed = statements.Narrowed(user is not None, agent=False, kind=False, more=still_true)
        model = statements.Model(self.options.model, self.options.dimensions)
        sql = statements_search.search(statements_search.Shape(model, None, narrowed, CANDIDATES[0], exact=exact))
        (vector,) = await self.embedder.embed([text], EmbedPurpose.QUERY)
        async with self.bare.transaction(readonly=True):
            settings = {"ef_search": self.options.ef_search, "patience": 20_000}
            await self.bare.execute(statements_search.SCAN_INDEX.format(**settings))
            parameters: list[object] = [
                "acme", user, None, None, datetime.now(UTC), vector, None, K, False, None, None, None, 0.0, [], [],
            ]  # fmt: skip
            return [row["memory_id"] for row in await self.bare.fetch(sql, *parameters)]

    async def build_index(self) -> float:
        """Seconds that the HNSW index takes to be built over all vectors at once."""
        name, dimensions = self.options.model, self.options.dimensions
        await self.bare.execute(statements_upkeep.DROP_INDEX.format(model=name))
        await self.bare.execute(f"SET maintenance_work_mem = '{BUILD_MEMORY}'")
        milliseconds = await timed(
            self.bare.execute(statements_search.VECTOR_INDEX.format(model=name, dimensions=dimensions), timeout=3600)
        )
        return milliseconds / 1000

    async def search(self, queries: int) -> None:
        texts = [f"what about {number} red things" for number in range(queries)]
        for text in texts:
            self.embedder.make(text)
        for name, user in {"whole tenant": None, **{name: name.replace(" ", "-") for name in SHARES}}.items():
            await self._compare(name, texts, user)
        for name, user in (("whole tenant", None), ("a hundredth", "a-hundredth")):
            milliseconds = [await timed(self.ours(text, user, SearchMode.HYBRID)) for text in texts]
            print(f"{f'hybrid, {name}':<44} p50 {statistics.median(milliseconds):7.2f} ms, "
                  f"{1000 / statistics.mean(milliseconds):,.0f} queries/s")  # fmt: skip

    async def _compare(self, name: str, texts: Sequence[str], user: str | None) -> None:
        hits = wanted = 0
        times: dict[str, list[float]] = {"ours": [], "reference": []}
        for text in texts:
            truth = set(await self.reference(text, user, exact=True))
            hits, wanted = hits + len(truth & set(await self.ours(text, user))), wanted + len(truth)
        for number, text in enumerate(texts):  # one after the other, so that both meet the same noise
            # Who comes second finds the same pages in the processor's caches: each is first every other time.
            for side in ("ours", "reference") if number % 2 else ("reference", "ours"):
                asked = self.ours(text, user) if side == "ours" else self.reference(text, user, exact=user is not None)
                times[side].append(await timed(asked))
        ours, bare = (statistics.median(values) for values in times.values())
        recall = f"recall@{K} {hits / wanted:.3f}"
        print(f"{f'search {name}, p50 ms':<44} {ours:>9.2f}     reference {bare:>9.2f}     {recall}")
        report(f"search {name}, one caller, queries/s", 1000 / statistics.mean(times["ours"]),
               1000 / statistics.mean(times["reference"]))  # fmt: skip


async def _each(store: Callable[[str, str, list[float]], Awaitable[None]], rows: Iterable[NamedRow]) -> None:
    for row in rows:
        await store(*row)


async def timed(call: Awaitable[object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await call
    return (time.perf_counter() - began) * 1000


def report(title: str, ours: float, reference: float) -> None:
    print(f"{title:<44} {ours:>9,.0f}     reference {reference:>9,.0f}     ratio {ours / reference:5.2f}")


async def run(folder: Path, rows: int, queries: int) -> None:
    with EmbeddedPostgres(folder) as server:
        embedder = ClusteredEmbedder(clusters=max(20, rows // 100))
        options = Options(server.url, embedder.name, embedder.dimensions, search_timeout_seconds=60,
                          request_timeout_seconds=600, language="english")  # fmt: skip
        store = PgvectorStore(options)
        await store.prepare()
        clock = SystemClock()
        bare = await asyncpg.connect(server.url)
        service = MemoryService(store, Vectors(embedder), UsageCounts(store, clock), clock)
        bench = Bench(service, options, embedder, bare)
        await bench.fill(rows)
        await bench.one_by_one(min(4_000, rows // 2))
        await bench.search(queries)
        print(
            f"HNSW index built over all at once, maintenance_work_mem {BUILD_MEMORY}: {await bench.build_index():.1f} s"
        )
        sizes = await bare.fetchrow(
            "SELECT pg_table_size('memory.embedding') / 1e6, pg_relation_size($1::regclass) / 1e6",
            f'memory."embedding_{embedder.name}"',
        )
        print(f"vectors {sizes[0]:.0f} MB, HNSW index {sizes[1]:.0f} MB")
        await bare.close()
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5,000 memories instead of 100,000")
    quick = parser.parse_args().quick
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="bureau-bench-") as folder:
        asyncio.run(run(Path(folder), *((5_000, 100) if quick else (100_000, 300))))


if __name__ == "__main__":
    main()
