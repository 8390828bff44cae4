"""Searches in Postgres: the plan is chosen by how many memories are within reach."""

from collections.abc import Mapping, Sequence
from typing import Any

from bureau_contracts.memory import Memory, MemoryHit, Quarantined, SearchMode
from kit.identity import Owner, Reach
from services.memory import statements_search as statements
from services.memory.database import Connection
from services.memory.filters_sql import compiled
from services.memory.pgvector import OnPgvector
from services.memory.rows import memory_of
from services.memory.statements import Narrowed
from services.memory.store import PAIRED, Filter, Query

_LEAST_PATIENCE, _MOST_PATIENCE = 1_000, 20_000
"""After so many rows of an index a scan gives up; between them a twentieth of what is within reach, as going through
more takes longer than comparing all."""


class Searches(OnPgvector):
    async def search(self, reach: Reach, which: Filter, query: Query) -> list[MemoryHit]:
        options = self._options
        narrowed, wanted = narrowed_by(reach, which, statements.SEARCH_PARAMETERS)
        previous = None if query.previous_vector is None else options.previous
        exact, scan = (
            statements.search(self._model, previous, narrowed, exact, query.candidates) for exact in (True, False)
        )
        async with self._database.connection(options.search_timeout_seconds) as connection:
            few, any_of, within = await connection.fetchrow(
                statements.beginning(narrowed.user), reach.tenant, reach.user, float(options.exact_rows),
                query.words, options.language,
            )  # fmt: skip
            parameters = (
                *scope_of(reach, which), query.vector, any_of, query.k,
                query.mode is SearchMode.HYBRID, query.min_score, query.previous_vector,
                query.half_life and query.half_life.total_seconds(), query.importance_weight, *wanted,
            )  # fmt: skip
            by_words = query.vector is None and query.previous_vector is None
            rows = None if by_words or within <= few else await self._scan(connection, scan, parameters, within)
            if rows is None or (query.vector and rows[0]["near"] < query.candidates):
                # After a scan: it gave up, as a filter leaves too few rows in the index. What it missed is not known.
                rows = await connection.fetch(exact, *parameters)
        return [_hit(row) for row in rows if row["memory_id"] is not None]

    async def _scan(
        self, connection: Connection, statement: str, parameters: Sequence[object], within: int
    ) -> list[Mapping[str, Any]]:
        """What the index gives, with at least one row that says how many vectors it gave."""
        patience = max(_LEAST_PATIENCE, min(within // 20, _MOST_PATIENCE))
        async with connection.transaction(readonly=True):
            settings = statements.SCAN_INDEX.format(ef_search=self._options.ef_search, patience=patience)
            await connection.execute(settings)
            return list(await connection.fetch(statement, *parameters))

    async def similar(
        self, owner: Owner, which: Filter, above: float, limit: int
    ) -> list[tuple[Memory, Memory, float]]:
        reach = Reach(owner.tenant, owner.user)
        narrowed, wanted = narrowed_by(reach, which, statements.SIMILAR_PARAMETERS)
        statement = statements.similar(self._model, narrowed, PAIRED)
        async with self._connection() as connection:
            pairs = await connection.fetch(statement, *scope_of(reach, which), above, limit, *wanted)
            ids = list({row[name] for row in pairs for name in ("first", "second")})
            rows = await connection.fetch(statements.BY_IDS, owner.tenant, owner.user, ids)
        memories = {row["memory_id"]: memory_of(row) for row in rows}
        return [
            (memories[row["first"]], memories[row["second"]], row["similarity"])
            for row in pairs
            if row["first"] in memories and row["second"] in memories
        ]


def scope_of(reach: Reach, which: Filter) -> tuple[object, ...]:
    return reach.tenant, reach.user, which.agent, which.kind, which.now


def narrowed_by(reach: Reach, which: Filter, before: int) -> tuple[Narrowed, list[object]]:
    """With the parameters of further conditions; so many others come before them."""
    metadata, parameters = compiled(which.metadata, before + 1)
    more = [metadata]

    def require(condition: str, parameter: object) -> None:
        parameters.append(parameter)
        more.append(condition.format(before + len(parameters)))

    if which.origins:
        require("i.origin = ANY(${}::text[])", list(which.origins))
    if which.but_origins:
        require("i.origin <> ALL(${}::text[])", list(which.but_origins))
    if which.as_of is not None:
        require("i.valid_from <= ${0}::timestamptz AND (i.valid_to IS NULL OR i.valid_to > ${0})", which.as_of)
    elif not which.superseded:
        more.append("(i.valid_to IS NULL OR i.valid_to > $5)")
    if which.quarantined is not Quarantined.INCLUDE:
        more.append("i.quarantined" if which.quarantined is Quarantined.ONLY else "NOT i.quarantined")
    given = (reach.user is not None, which.agent is not None, which.kind is not None)
    return Narrowed(*given, " AND ".join(more)), parameters


def _hit(row: Mapping[str, Any]) -> MemoryHit:
    similarity, share = row["similarity"], row["share"]
    return MemoryHit(
        memory=memory_of(row),
        score=row["score"],
        relevance=row["relevance"],
        recency=row["recency"],
        weight=row["weight"],
        similarity=similarity,
        text_rank=share,
        matched=[name for name, value in (("vector", similarity), ("text", share)) if value is not None],
    )
