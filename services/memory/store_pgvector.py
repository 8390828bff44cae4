"""Memories in Postgres with pgvector."""

import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from bureau_contracts.memory import (
    ExportedMemory,
    Memory,
    MemoryHit,
    MemoryStored,
    MemoryVersion,
    Quarantined,
    SearchMode,
)
from kit.identity import Owner, Reach
from kit.postgres import migrate, open_pool
from services.memory import statements
from services.memory.database import Connection, Database, Pool
from services.memory.filters_sql import compiled
from services.memory.rows import memory_of
from services.memory.store import (
    NO_MODEL,
    PAIRED,
    VERSIONS_SHOWN,
    Change,
    Draft,
    Filter,
    Imported,
    Position,
    Query,
    SameText,
    StoreAway,
    Successor,
    Superseded,
    Unembedded,
    Wording,
    changed,
)

MIGRATIONS = Path(__file__).parent / "migrations"
_MODEL_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,49}$")
_NO_PGVECTOR = (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError, asyncpg.InsufficientPrivilegeError)
_BEGINNING = Position(datetime.max.replace(tzinfo=UTC), "~")
UPKEEP_SECONDS = 120.0
"""How long a batch of texts may be with an embedder that takes its time."""
COPIED_FROM = 50
"""Memories of one call that are copied into Postgres; fewer are parameters of one statement, which is quicker then."""
_ATTEMPTS = 3
"""How often a text that somebody stores or deletes at the same moment is tried before the caller is asked to."""


class PgvectorMissing(StoreAway):
    code = "pgvector_missing"


@dataclass(frozen=True, slots=True)
class Options:
    url: str
    model: str
    """The embedder whose vectors are searched."""
    dimensions: int
    pool_size: int = 10
    statement_cache_size: int = 100
    search_timeout_seconds: float = 1.0
    request_timeout_seconds: float = 10.0
    previous: statements.Model | None = None
    """The embedder that was used before: its vectors are searched too, as long as queries bring one of its."""
    exact_rows: int = 4000
    """Up to so many memories within reach a search compares all; beyond, it scans the HNSW index."""
    ef_search: int = 100


class PgvectorStore:
    """MemoryStore on Postgres. A search inside one owner is exact as long as that owner has few memories."""

    def __init__(self, options: Options) -> None:
        """Opens nothing: `prepare` does, now and again until the database was there."""
        self._model = statements.Model(options.model, options.dimensions)
        for model in filter(None, (self._model, options.previous)):
            if not _MODEL_NAME.match(model.name) or not 1 <= model.dimensions <= 4000:
                raise ValueError(f"not a model that can be indexed: {model.name} ({model.dimensions} dimensions)")
        self._options = options
        self._database = Database(partial(_open, options), partial(_prepare, options))

    @property
    def database(self) -> Database:
        """For what stands beside the memories: readings, usage, documents."""
        return self._database

    async def prepare(self) -> None:
        await self._database.prepare()

    async def close(self) -> None:
        await self._database.close()

    async def ping(self) -> str:
        async with self._database.connection(self._options.search_timeout_seconds) as connection:
            await connection.execute("SELECT 1")
        return ""

    async def add(self, drafts: Sequence[Draft]) -> list[MemoryStored]:
        async with self._connection() as connection, connection.transaction():
            return await self.add_within(connection, drafts)

    async def add_within(self, connection: Connection, drafts: Sequence[Draft]) -> list[MemoryStored]:
        """In a transaction that is open: for documents, whose chunks stand beside their records."""
        placed: dict[str, MemoryStored] = {}
        for _ in range(_ATTEMPTS):
            missing = [draft for draft in drafts if draft.memory_id not in placed]
            if not missing:
                return [placed[draft.memory_id] for draft in drafts]
            for row in await self._insert(connection, missing):
                placed[row["memory_id"]] = MemoryStored(memory_id=row["memory_id"], created=True)
            rest = [draft for draft in missing if draft.memory_id not in placed]
            placed |= await self._stored_before(connection, rest)
        raise StoreAway("the same text is being stored and deleted again and again")

    async def _insert(self, connection: Connection, drafts: Sequence[Draft]) -> list[Mapping[str, Any]]:
        """The IDs of those that were not there; the rest is passed over."""
        if len(drafts) < COPIED_FROM:
            return list(await connection.fetch(statements.ADD, *_columns(drafts, self._options)))
        await connection.execute(statements.STAGE)
        await connection.execute(statements.CLEAR_STAGE)
        await connection.copy_records_to_table("staged", records=map(_staged, drafts))
        return list(await connection.fetch(statements.ADD_STAGED, self._options.model))

    async def _stored_before(self, connection: Connection, drafts: Sequence[Draft]) -> dict[str, MemoryStored]:
        """Which drafts their owners have already. Expired ones are deleted, so that the text can be stored again."""
        if not drafts:
            return {}
        keys = [_key(draft) for draft in drafts]
        now = max(draft.created_at for draft in drafts)
        rows = await connection.fetch(statements.SAME_TEXT, *map(list, zip(*keys, strict=True)), now)
        expired = [row["memory_id"] for row in rows if row["expired"]]
        if expired:
            await connection.execute(statements.DELETE_EXPIRED, expired, now)
        living = {tuple(row)[1:5]: row["memory_id"] for row in rows if not row["expired"]}
        return {
            draft.memory_id: MemoryStored(memory_id=living[key], created=False)
            for draft, key in zip(drafts, keys, strict=True)
            if key in living
        }

    async def get(self, reach: Reach, memory_id: str, now: datetime) -> Memory | None:
        async with self._connection() as connection:
            row = await connection.fetchrow(statements.get(_one(reach)), reach.tenant, reach.user, memory_id, now)
        return None if row is None else memory_of(row)

    async def page(self, reach: Reach, which: Filter, limit: int, after: Position | None) -> list[Memory]:
        start = after or _BEGINNING
        narrowed, wanted = _narrowed(reach, which, statements.PAGE_PARAMETERS)
        parameters = (*_scope(reach, which), start.created_at, start.memory_id, limit, *wanted)
        async with self._connection() as connection:
            rows = await connection.fetch(statements.page(narrowed), *parameters)
        return [memory_of(row) for row in rows]

    async def update(self, reach: Reach, memory_id: str, change: Change, now: datetime) -> Memory | None:
        async with self._connection() as connection, connection.transaction():
            find = statements.get(_one(reach), lock=True)
            row = await connection.fetchrow(find, reach.tenant, reach.user, memory_id, now)
            if row is None:
                return None
            before = memory_of(row)
            after = changed(before, change, now, self._options.model)
            if after is before:
                return before
            key = (before.tenant, before.user_id, memory_id)
            await connection.execute(statements.KEEP_VERSION, *key, now)
            if change.wording is None or after.text == before.text:
                await connection.execute(statements.UPDATE_DETAILS, *key, *_details(after))
            else:
                await self._reword(connection, after, change.wording)
        return after

    async def _reword(self, connection: Connection, memory: Memory, wording: Wording) -> None:
        key = (memory.tenant, memory.user_id, memory.memory_id)
        lookup = ([memory.tenant], [memory.user_id], [memory.agent], [wording.digest], memory.updated_at)
        same = await connection.fetch(statements.SAME_TEXT, *lookup)
        await connection.execute(statements.DELETE_EXPIRED, [row["memory_id"] for row in same], memory.updated_at)
        try:
            await connection.execute(
                statements.UPDATE, *key, wording.text, wording.digest, " ".join(wording.words), *_details(memory),
                memory.embedding_model,
            )  # fmt: skip
        except asyncpg.UniqueViolationError as error:
            raise SameText("this owner has a memory with this text already") from error
        await connection.execute(statements.FORGET_VECTORS, *key)
        if wording.vector is not None:
            await connection.execute(statements.ADD_VECTOR, *key, self._options.model, wording.vector)

    async def history(self, reach: Reach, memory_id: str, now: datetime) -> list[MemoryVersion] | None:
        one = _one(reach)
        async with self._connection() as connection:
            if await connection.fetchrow(statements.get(one), reach.tenant, reach.user, memory_id, now) is None:
                return None
            rows = await connection.fetch(statements.history(one), reach.tenant, reach.user, memory_id, VERSIONS_SHOWN)
        return [_version(row) for row in rows]

    async def supersede(self, reach: Reach, memory_id: str, successor: Successor, now: datetime) -> Memory | None:
        async with self._connection() as connection, connection.transaction():
            find = statements.get(_one(reach), lock=True)
            row = await connection.fetchrow(find, reach.tenant, reach.user, memory_id, now)
            if row is None:
                return None
            old = memory_of(row)
            if old.superseded_by is not None:
                raise Superseded(f"this memory was superseded by {old.superseded_by}")
            draft = successor(old)
            await connection.execute(statements.SUPERSEDE, old.tenant, old.user_id, memory_id, now, draft.memory_id)
            (stored,) = await self.add_within(connection, [draft])
            if not stored.created:
                raise SameText("this owner has a memory with this text already")
            new = await connection.fetchrow(statements.get(True), old.tenant, old.user_id, draft.memory_id, now)
            return memory_of(new)

    async def delete(self, reach: Reach, memory_id: str, now: datetime, *, purge: bool = False) -> bool:
        statement = (statements.purge if purge else statements.delete)(_one(reach))
        async with self._connection() as connection:
            return bool(await connection.fetchval(statement, reach.tenant, reach.user, memory_id, now))

    async def restore(self, reach: Reach, memory_id: str, now: datetime, *, deleted_after: datetime) -> Memory | None:
        key = (reach.tenant, reach.user, memory_id, now)
        async with self._connection() as connection, connection.transaction():
            if not await connection.fetchval(statements.restore(_one(reach)), *key, deleted_after):
                return None
            return memory_of(await connection.fetchrow(statements.get(_one(reach)), *key))

    async def purge_gone(self, before: datetime, limit: int) -> int:
        async with self._connection() as connection:
            status = await connection.execute(statements.PURGE_GONE, before, limit)
        return int(status.split()[-1])

    async def erase(self, owner: Owner) -> int:
        async with self._connection() as connection:
            status = await connection.execute(statements.ERASE, owner.tenant, owner.user)
        return int(status.split()[-1])

    async def search(self, reach: Reach, which: Filter, query: Query) -> list[MemoryHit]:
        options = self._options
        narrowed, wanted = _narrowed(reach, which, statements.SEARCH_PARAMETERS)
        parameters = (
            *_scope(reach, which), query.vector, _any_of(query.words), query.k,
            query.mode is SearchMode.HYBRID, query.min_score, query.previous_vector,
            query.half_life and query.half_life.total_seconds(), query.importance_weight, *wanted,
        )  # fmt: skip
        async with self._database.connection(options.search_timeout_seconds) as connection:
            limit = options.exact_rows + 1
            within = await connection.fetchval(statements.count(narrowed.user), reach.tenant, reach.user, limit)
            by_words = query.vector is None and query.previous_vector is None
            exact = by_words or within <= options.exact_rows
            previous = None if query.previous_vector is None else options.previous
            statement = statements.search(self._model, previous, narrowed, exact, query.candidates)
            if exact:
                rows = await connection.fetch(statement, *parameters)
            else:
                async with connection.transaction(readonly=True):
                    await connection.execute(statements.SCAN_INDEX.format(ef_search=options.ef_search))
                    rows = await connection.fetch(statement, *parameters)
        return [_hit(row) for row in rows]

    async def similar(
        self, owner: Owner, which: Filter, above: float, limit: int
    ) -> list[tuple[Memory, Memory, float]]:
        reach = Reach(owner.tenant, owner.user)
        narrowed, wanted = _narrowed(reach, which, statements.SIMILAR_PARAMETERS)
        statement = statements.similar(self._model, narrowed, PAIRED)
        async with self._connection() as connection:
            pairs = await connection.fetch(statement, *_scope(reach, which), above, limit, *wanted)
            ids = list({row[name] for row in pairs for name in ("first", "second")})
            rows = await connection.fetch(statements.BY_IDS, owner.tenant, owner.user, ids)
        memories = {row["memory_id"]: memory_of(row) for row in rows}
        return [
            (memories[row["first"]], memories[row["second"]], row["similarity"])
            for row in pairs
            if row["first"] in memories and row["second"] in memories
        ]

    async def export(self, reach: Reach, now: datetime, after: str, limit: int) -> list[ExportedMemory]:
        async with self._connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            statement = statements.export(_one(reach))
            rows = await connection.fetch(statement, reach.tenant, reach.user, now, after, limit)
            ids = [row["memory_id"] for row in rows]
            versions = defaultdict[str, list[MemoryVersion]](list)
            for row in await connection.fetch(statements.VERSIONS_OF, ids, VERSIONS_SHOWN):
                versions[row["memory_id"]].append(_version(row))
        return [ExportedMemory(memory=memory_of(row), versions=versions[row["memory_id"]]) for row in rows]

    async def import_all(self, imports: Sequence[Imported], now: datetime) -> list[bool]:
        async with self._connection() as connection, connection.transaction():
            return [await self._import(connection, each, now) for each in imports]

    async def _import(self, connection: Connection, imported: Imported, now: datetime) -> bool:
        memory, wording = imported.memory, imported.wording
        retired = memory.memory_id.encode() if memory.superseded_by else b""
        key = (memory.tenant, memory.user_id, memory.memory_id)
        await connection.execute(statements.DELETE_GONE, *key, memory.agent, wording.digest, now)
        stored = await connection.fetchval(
            statements.IMPORT, memory.memory_id, memory.tenant, memory.user_id, memory.agent, memory.session_id,
            memory.source_seqs, memory.text, wording.digest + retired, " ".join(wording.words), memory.kind,
            json.dumps(memory.metadata), memory.importance, memory.valid_from, memory.valid_to, memory.supersedes,
            memory.superseded_by, memory.origin, memory.quarantined, memory.expires_at, memory.created_at,
            memory.updated_at, NO_MODEL if wording.vector is None else self._options.model,
        )  # fmt: skip
        if not stored:
            return False
        if wording.vector is not None:
            await connection.execute(statements.ADD_VECTOR, *key, self._options.model, wording.vector)
        versions = [
            (
                memory.memory_id,
                number,
                v.text,
                v.kind,
                json.dumps(v.metadata),
                v.importance,
                v.quarantined,
                v.replaced_at,
            )
            for number, v in enumerate(reversed(imported.versions), start=1)
        ]  # fmt: skip
        await connection.executemany(statements.IMPORT_VERSION, versions)
        return True

    async def note_used(self, counts: Mapping[str, int], at: datetime) -> None:
        async with self._connection() as connection:
            await connection.execute(statements.NOTE_USED, list(counts), list(counts.values()), at)

    @asynccontextmanager
    async def unembedded(self, limit: int, after: str) -> AsyncIterator[Sequence[Unembedded] | None]:
        async with self._database.connection(UPKEEP_SECONDS) as connection, connection.transaction():
            if not await connection.fetchval(statements.LOCK_UPKEEP, self._options.model):
                yield None
                return
            rows = await connection.fetch(statements.UNEMBEDDED, self._options.model, limit, after)
            yield [Unembedded(row["memory_id"], row["digest"], row["text"]) for row in rows]

    async def embedded(self, vectors: Sequence[tuple[Unembedded, list[float]]]) -> int:
        memories = [memory for memory, _ in vectors]
        async with self._connection() as connection:
            status = await connection.execute(
                statements.EMBEDDED,
                [memory.memory_id for memory in memories],
                [memory.digest for memory in memories],
                self._options.model,
                [number for _, vector in vectors for number in vector],
                self._options.dimensions,
            )
        return int(status.split()[-1])

    async def lacking(self) -> int:
        async with self._connection() as connection:
            return int(await connection.fetchval(statements.LACKING, self._options.model))

    async def forget_model(self, model: str, limit: int) -> int:
        if model == self._options.model or not _MODEL_NAME.match(model):
            raise ValueError(f"not another model's name: {model}")
        async with self._database.connection(UPKEEP_SECONDS) as connection:
            await connection.execute(statements.DROP_INDEX.format(model=model))
            status = await connection.execute(statements.FORGET_MODEL, model, limit)
        return int(status.split()[-1])

    def _connection(self) -> AbstractAsyncContextManager[Connection]:
        return self._database.connection(self._options.request_timeout_seconds)


async def _open(options: Options) -> Pool:
    return await open_pool(
        options.url,
        max_size=options.pool_size,
        command_timeout_seconds=options.request_timeout_seconds,
        statement_cache_size=options.statement_cache_size,
    )


async def _prepare(options: Options, pool: Pool) -> None:
    """Migrations, and the index of the embedder's vectors: cheap when the model is new, as it has no vectors yet."""
    try:
        await migrate(pool, "memory", MIGRATIONS)
    except _NO_PGVECTOR as error:
        raise PgvectorMissing(
            f"the memory's database could not be prepared ({error}): install pgvector 0.8 or newer, run "
            "CREATE EXTENSION vector in it as a superuser, and let this user create a schema"
        ) from error
    async with pool.acquire() as connection, connection.transaction():
        version = await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        if tuple(map(int, version.split(".")[:2])) < (0, 8):
            raise PgvectorMissing(
                f"pgvector {version} is too old: 0.8 or newer is needed (ALTER EXTENSION vector UPDATE)"
            )
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('bureau:memory:index'))", timeout=60)
        index = statements.VECTOR_INDEX.format(model=options.model, dimensions=options.dimensions)
        await connection.execute(index, timeout=600)


def _columns(drafts: Sequence[Draft], options: Options) -> Iterable[object]:
    """The parameters of statements.ADD."""
    rows = [
        (
            d.memory_id, d.owner.tenant, d.owner.user, d.agent, d.session_id,
            "{" + ",".join(map(str, d.source_seqs)) + "}", d.wording.text, d.wording.digest, " ".join(d.wording.words),
            d.kind, json.dumps(d.metadata), d.importance, d.expires_at, d.created_at,
        )
        for d in drafts
    ]  # fmt: skip
    yield from map(list, zip(*rows, strict=True))
    yield options.model
    # Texts are embedded together or not at all; without one vector all are left to the upkeep.
    vectors = [draft.wording.vector for draft in drafts if draft.wording.vector is not None]
    yield [number for vector in vectors for number in vector] if len(vectors) == len(drafts) else None
    yield options.dimensions
    yield from map(list, zip(*((d.origin, d.quarantined, d.supersedes) for d in drafts), strict=True))


def _staged(draft: Draft) -> tuple[object, ...]:
    """A row of statements.STAGE."""
    return (
        draft.memory_id, draft.owner.tenant, draft.owner.user, draft.agent, draft.session_id, list(draft.source_seqs),
        draft.wording.text, draft.wording.digest, " ".join(draft.wording.words), draft.kind.value,
        json.dumps(draft.metadata), draft.importance, draft.expires_at, draft.created_at, draft.origin.value,
        draft.quarantined, draft.supersedes, draft.wording.vector,
    )  # fmt: skip


def _key(draft: Draft) -> tuple[str, str, str | None, bytes]:
    return draft.owner.tenant, draft.owner.user, draft.agent, draft.wording.digest


def _details(memory: Memory) -> tuple[object, ...]:
    return (
        memory.kind,
        json.dumps(memory.metadata),
        memory.importance,
        memory.expires_at,
        memory.updated_at,
        memory.quarantined,
    )


def _scope(reach: Reach, which: Filter) -> tuple[object, ...]:
    return reach.tenant, reach.user, which.agent, which.kind, which.now


def _narrowed(reach: Reach, which: Filter, before: int) -> tuple[statements.Narrowed, list[object]]:
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
    return statements.Narrowed(*given, " AND ".join(more)), parameters


def _one(reach: Reach) -> bool:
    return reach.user is not None


def _any_of(words: Sequence[str]) -> str | None:
    """A tsquery that any of the words fulfils, written so that no word is read as an operator."""
    quoted = (word.replace("\\", "\\\\").replace("'", "''") for word in words)
    return " | ".join(f"'{word}'" for word in quoted) or None


def _version(row: Mapping[str, Any]) -> MemoryVersion:
    return MemoryVersion.model_validate({**row, "metadata": json.loads(row["metadata"])})


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
