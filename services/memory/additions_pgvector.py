"""Memories on their way into Postgres: many at once, each text of an owner once."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bureau_contracts.memory import MemoryStored
from services.memory import statements, statements_additions
from services.memory.additions_together import Together
from services.memory.database import Connection
from services.memory.pgvector import OnPgvector, Options
from services.memory.store import Draft, InTheWay

COPIED_FROM = 50
"""Memories of one call that are copied into Postgres; fewer are parameters of one statement, which is quicker then."""
_ATTEMPTS = 3
"""How often a text that somebody stores or deletes at the same moment is tried before the caller is asked to."""


class Additions(OnPgvector):
    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._together = Together(self._add, max(1, options.pool_size // 2), options.request_timeout_seconds)

    async def add(self, drafts: Sequence[Draft]) -> list[MemoryStored]:
        return await (self._add(drafts) if len(drafts) >= COPIED_FROM else self._together.add(drafts))

    async def _add(self, drafts: Sequence[Draft]) -> list[MemoryStored]:
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
        raise InTheWay("the same text is being stored and deleted again and again")

    async def _insert(self, connection: Connection, drafts: Sequence[Draft]) -> list[Mapping[str, Any]]:
        """The IDs of those that were not there; the rest is passed over."""
        if len(drafts) < COPIED_FROM:
            return list(await connection.fetch(statements_additions.ADD, *columns(drafts, self._options)))
        await connection.execute(statements_additions.STAGE)
        await connection.execute(statements_additions.CLEAR_STAGE)
        await connection.copy_records_to_table("staged", records=map(_staged, drafts))
        return list(
            await connection.fetch(statements_additions.ADD_STAGED, self._options.model, self._options.language)
        )

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


def columns(drafts: Sequence[Draft], options: Options) -> Iterable[object]:
    """The parameters of statements_additions.ADD."""
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
    yield options.language


def _staged(draft: Draft) -> tuple[object, ...]:
    """A row of statements_additions.STAGE."""
    return (
        draft.memory_id, draft.owner.tenant, draft.owner.user, draft.agent, draft.session_id, list(draft.source_seqs),
        draft.wording.text, draft.wording.digest, " ".join(draft.wording.words), draft.kind.value,
        json.dumps(draft.metadata), draft.importance, draft.expires_at, draft.created_at, draft.origin.value,
        draft.quarantined, draft.supersedes, draft.wording.vector,
    )  # fmt: skip


def _key(draft: Draft) -> tuple[str, str, str | None, bytes]:
    return draft.owner.tenant, draft.owner.user, draft.agent, draft.wording.digest
