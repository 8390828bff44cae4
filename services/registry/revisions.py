"""What agents and tools were before: list, compare, restore. The same for both kinds."""

from collections.abc import Container
from itertools import pairwise

from bureau_contracts.registry import AgentRecord, ChangeType, FieldChange, Kind, Revision, RevisionDiff, RevisionPage
from bureau_contracts.shapes import JsonObject
from bureau_contracts.tools import ToolRecord
from kit.clock import Clock
from kit.errors import Conflict, NotFound
from kit.identity import Principal
from kit.logs import get_logger
from services.registry.document import REVISIONS, Document, Kept, Stamp, Thing
from services.registry.store import RegistryStore
from services.registry.things import (
    WRITE,
    RevisionChanged,
    may_see,
    require_free,
    settable,
    shown,
    shown_by,
    who,
)

log = get_logger(__name__)


class RevisionNotFound(NotFound):
    code = "revision_not_found"


class RevisionDeleted(Conflict):
    code = "revision_deleted"


class Revisions:
    """A principal sees the revisions in which a thing was its tenant's or shared, also when it is no longer there."""

    def __init__(self, store: RegistryStore, clock: Clock, keep: int = REVISIONS) -> None:
        self._store, self._clock, self._keep = store, clock, keep

    def page(self, principal: Principal, kind: Kind, name: str) -> RevisionPage:
        kept = _visible(self._store.document, principal, kind, name)
        return RevisionPage(revisions=[_answer(each, principal) for each in reversed(kept)])

    def diff(self, principal: Principal, kind: Kind, name: str, revision: int, against: int | None) -> RevisionDiff:
        """Against the one before when nothing else is said; the first of all is compared with nothing."""
        kept = _visible(self._store.document, principal, kind, name)
        after = _fields(_find(kept, revision))
        if against is None and revision == 1:
            before: JsonObject = {}
            against = 0
        else:
            earlier = next((a for a, b in pairwise(kept) if b.revision == revision), None)
            against = against if against is not None else earlier.revision if earlier else revision - 1
            before = _fields(_find(kept, against))
        fields = {
            field: FieldChange(before=before.get(field), after=after.get(field))
            for field in sorted(before.keys() | after.keys())
            if before.get(field) != after.get(field)
        }
        return RevisionDiff(from_revision=against, to_revision=revision, fields=fields)

    async def restore(
        self, principal: Principal, kind: Kind, name: str, revision: int, revisions: Container[int] | None = None
    ) -> Thing:
        """Makes a new revision that says what that one said; brings back what was deleted.

        `revisions` are those that the caller has in mind (If-Match), of a deleted thing the number of its deletion.
        """
        principal.require(WRITE)

        def change(document: Document) -> Document:
            kept = _visible(document, principal, kind, name)
            current = document.things(kind).get(name)
            if current is not None and not may_see(principal, current):
                require_free(document, kind, name)
            if revisions is not None and kept[-1].revision not in revisions:
                raise RevisionChanged(f"it has revision {kept[-1].revision} now: read it again before you change it")
            old = _find(kept, revision)
            if old.change is ChangeType.DELETED:
                raise RevisionDeleted(f"revision {revision} deleted it: restore an earlier one")
            restored = _restored(old.record, current or kept[-1].record)
            if current is not None and settable(current) == settable(restored):
                return document
            return document.put(restored, ChangeType.RESTORED, Stamp(self._clock.now(), who(principal), self._keep))

        record = (await self._store.commit(change)).things(kind)[name]
        log.info("revision_restored", kind=kind, thing=name, restored=revision, revision=record.revision)
        return shown(record, principal)


def _visible(document: Document, principal: Principal, kind: Kind, name: str) -> list[Kept]:
    kept = [each for each in document.kept(kind, name) if may_see(principal, each.record)]
    if not kept:
        raise NotFound(f"there is no {kind} {name!r}", code=f"{kind}_not_found")
    return kept


def _find(kept: list[Kept], revision: int) -> Kept:
    for each in kept:
        if each.revision == revision:
            return each
    raise RevisionNotFound(f"there is no revision {revision}, or it is no longer kept")


def _restored(old: Thing, current: Thing) -> Thing:
    """What tenants decided about a tool for themselves is not part of its revisions."""
    if isinstance(old, ToolRecord) and isinstance(current, ToolRecord):
        return old.model_copy(update={"tenant_risks": current.tenant_risks, "registered_at": current.registered_at})
    if isinstance(current, AgentRecord):
        return old.model_copy(update={"registered_at": current.registered_at})
    return old


def _fields(kept: Kept) -> JsonObject:
    return {} if kept.change is ChangeType.DELETED else settable(kept.record)


def _answer(kept: Kept, principal: Principal) -> Revision:
    deleted = kept.change is ChangeType.DELETED
    return Revision(
        revision=kept.revision,
        seq=kept.seq,
        change=kept.change,
        at=kept.at,
        by=shown_by(kept.by, principal),
        record=None
        if deleted
        else shown(kept.record, principal).model_dump(mode="json", exclude={"health", "listing"}),
    )
