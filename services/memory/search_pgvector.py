"""Searches in Postgres: the plan is chosen by how many memories are within reach."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bureau_contracts.memory import Memory, MemoryHit, Quarantined, SearchMode
from kit.identity import Owner, Reach
from services.memory import statements_search as statements
from services.memory.database import Connection
from services.memory.filters_sql import compiled
from services.memory.pgvector import OnPgvector, one_user
from services.memory.rows import memory_of
from services.memory.statements import Narrowed
from services.memory.store import PAIRED, Filter, Query
from services.memory.word_weights import MOST_BROUGHT, SAMPLED, Asked, AskedWord

_LEAST_PATIENCE, _MOST_PATIENCE = 1_000, 20_000
"""After so many rows of an index a scan gives up; between them a twentieth of what is within reach, as going through
more takes longer than comparing all."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A way to search. Where few are within reach, all are read."""

    words: tuple[AskedWord, ...]
    """What has one of them is ranked, by all that were asked for."""
    few: bool = False
    scan: bool = False
    """The index of vectors; else all are compared."""

    @property
    def any_of(self) -> str | None:
        return " | ".join(form for word in self.words for form in word.forms) or None

    def is_enough(self, rows: Sequence[Mapping[str, Any]], query: Query) -> bool:
        """A scan that gives few gave up, as a filter leaves too few rows in the index: what it missed is not known."""
        if query.is_by_words:
            return len(found_in(rows)) >= query.k
        return int(rows[0]["near"]) >= query.candidates


def found_in(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Without the one that only says how many vectors were found near."""
    return [row for row in rows if row["memory_id"] is not None]


def plans_beyond_few(query: Query, asked: Asked, within: int) -> Iterable[Plan]:
    """One after the other, until one gives enough."""
    rarest = asked.rarest(within, MOST_BROUGHT)
    if query.is_by_words:
        return dict.fromkeys(map(Plan, (rarest, asked.rarest(within, 10 * MOST_BROUGHT), asked.words)))
    return [Plan(rarest, scan=True), Plan(rarest)]


class Searches(OnPgvector):
    async def search(self, reach: Reach, which: Filter, query: Query) -> list[MemoryHit]:
        options = self._options
        async with self._database.connection(options.search_timeout_seconds) as connection:
            few, within = await connection.fetchrow(
                statements.beginning(one_user(reach)), reach.tenant, reach.user, float(options.exact_rows)
            )
            asked = await self._asked(connection, reach, which, query, within)
            for plan in plans_beyond_few(query, asked, within) if within > few else [Plan(asked.words, few=True)]:
                rows = await self._carried_out(plan, connection, reach, which, query, asked, within)
                if plan.is_enough(rows, query):
                    break
        return [_hit(row) for row in found_in(rows)]

    async def _asked(self, connection: Connection, reach: Reach, which: Filter, query: Query, within: int) -> Asked:
        if not query.words:
            return Asked()
        statement = statements.asked(one_user(reach), within <= SAMPLED)
        rows = await connection.fetch(
            statement, reach.tenant, reach.user, query.words, self._options.language, which.now
        )
        return Asked.first((AskedWord(tuple(row["forms"]), row["count"]) for row in rows), rows[0]["sampled"])

    async def _carried_out(
        self, plan: Plan, connection: Connection, reach: Reach, which: Filter, query: Query, asked: Asked, within: int
    ) -> list[Mapping[str, Any]]:
        """At least one row, which says how many vectors were found near."""
        previous = None if query.previous_vector is None else self._options.previous
        narrowed, wanted = narrowed_by(reach, which, statements.SEARCH_PARAMETERS)
        forms, worth = asked.worth()
        shape = statements.Shape(
            self._model, previous, narrowed, query.candidates, statements.slots_for(len(forms)), not plan.scan, plan.few
        )
        statement = statements.search(shape)
        parameters = (
            *scope_of(reach, which), query.vector, plan.any_of, query.k,
            query.mode is SearchMode.HYBRID, query.min_score, query.previous_vector,
            query.half_life and query.half_life.total_seconds(), query.importance_weight, forms, worth, *wanted,
        )  # fmt: skip
        if not plan.scan:
            return list(await connection.fetch(statement, *parameters))
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
