"""Rows of the store in this process alone: which of them a reach and a filter mean."""

from dataclasses import dataclass, field
from datetime import datetime

from bureau_contracts.memory import Memory, MemoryVersion, Quarantined
from kit.identity import Reach
from services.memory.filters import matches
from services.memory.store import NO_MODEL, Draft, Filter, Wording


@dataclass(frozen=True, slots=True)
class Row:
    memory: Memory
    wording: Wording
    versions: list[MemoryVersion] = field(default_factory=list)
    deleted_at: datetime | None = None

    def lives(self, now: datetime) -> bool:
        return self.deleted_at is None and (self.memory.expires_at is None or self.memory.expires_at > now)

    def is_within(self, reach: Reach) -> bool:
        return self.memory.tenant == reach.tenant and reach.user in (None, self.memory.user_id)

    def is_meant(self, which: Filter) -> bool:
        memory = self.memory
        return (
            self.lives(which.now)
            and which.agent in (None, memory.agent)
            and which.kind in (None, memory.kind)
            and (which.metadata is None or matches(which.metadata, memory.metadata))
            and (not which.origins or memory.origin in which.origins)
            and memory.origin not in which.but_origins
            and (
                which.quarantined is Quarantined.INCLUDE
                or memory.quarantined is (which.quarantined is Quarantined.ONLY)
            )
            and self._is_true(which)
        )

    def _is_true(self, which: Filter) -> bool:
        memory = self.memory
        if which.as_of is None and which.superseded:
            return True
        when = which.as_of or which.now
        begun = which.as_of is None or memory.valid_from <= when
        return begun and (memory.valid_to is None or memory.valid_to > when)

    @property
    def position(self) -> tuple[datetime, str]:
        return self.memory.created_at, self.memory.memory_id

    @property
    def key(self) -> tuple[str, str, str | None, bytes]:
        return self.memory.tenant, self.memory.user_id, self.memory.agent, self.wording.digest


def memory_of_draft(draft: Draft, model: str) -> Memory:
    return Memory(
        memory_id=draft.memory_id, tenant=draft.owner.tenant, user_id=draft.owner.user, agent=draft.agent,
        session_id=draft.session_id, source_seqs=list(draft.source_seqs), text=draft.wording.text, kind=draft.kind,
        metadata=draft.metadata, importance=draft.importance, valid_from=draft.created_at, expires_at=draft.expires_at,
        embedding_model=NO_MODEL if draft.wording.vector is None else model,
        created_at=draft.created_at, updated_at=draft.created_at, origin=draft.origin, quarantined=draft.quarantined,
        supersedes=draft.supersedes,
    )  # fmt: skip
