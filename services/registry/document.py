"""The registry's whole content as one immutable value. A change makes a new one; whoever reads keeps what they have."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from types import MappingProxyType
from typing import Any

from bureau_contracts.prompts import PromptRecord
from bureau_contracts.registry import AgentRecord, ChangeType, Kind
from bureau_contracts.tools import ToolRecord

Thing = AgentRecord | ToolRecord | PromptRecord
"""What has a name, an owner and revisions."""

REVISIONS = 20
"""How many revisions of one thing are kept, unless a setting says otherwise."""
DELETED = 1000
"""How many deleted agents, tools and prompts keep their revisions; then the tenth that went first is forgotten."""
LOST_AT_MOST = 1_000_000
"""More changes than can have been made since the oldest backup; see `Document.after_a_loss`."""

_SHELVES = {Kind.AGENT: "agents", Kind.TOOL: "tools", Kind.PROMPT: "prompts"}


@dataclass(frozen=True, slots=True)
class Kept:
    """A revision as it is kept: one change of one thing."""

    revision: int
    seq: int
    change: ChangeType
    at: datetime
    by: str
    record: Thing
    """What it was from then on; of a deleted thing what it was before."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who changes something, when, and how many revisions of it are kept."""

    at: datetime
    by: str = ""
    keep: int = REVISIONS


@dataclass(frozen=True, slots=True)
class Edit:
    """One thing's change, before anybody has counted it."""

    kind: Kind
    name: str
    change: ChangeType
    record: Thing | None
    """None deletes."""


@dataclass(frozen=True)
class Document:
    """Nobody may change what it holds: records are replaced, never written to."""

    agents: Mapping[str, AgentRecord] = field(default_factory=dict)
    """By name, and in the order of names; so are `tools` and `prompts`."""
    tools: Mapping[str, ToolRecord] = field(default_factory=dict)
    prompts: Mapping[str, PromptRecord] = field(default_factory=dict)
    revisions: dict[str, tuple[Kept, ...]] = field(default_factory=dict)
    """By `revisions_key`, oldest first, also of what was deleted: so a name that comes back goes on counting, and an
    old ETag never matches again; unless DELETED others were deleted since. In the order of their newest `seq`: the
    change feed is read from the end of this.
    Of a prompt there is the newest alone, for it holds its versions itself."""
    seq: int = 0
    """Counts all changes."""
    told_from: int = 0
    """Who has followed the changes up to an earlier one than this must read everything anew."""

    def things(self, kind: Kind) -> Mapping[str, Thing]:
        things: Mapping[str, Thing] = getattr(self, _SHELVES[kind])
        return things

    def kept(self, kind: Kind, name: str) -> tuple[Kept, ...]:
        """Its revisions, oldest first; none when there never was such a thing."""
        return self.revisions.get(revisions_key(kind, name), ())

    def newest_first(self) -> Iterator[tuple[Kind, str, tuple[Kept, ...]]]:
        """Every thing that is or was there, the one that changed last first."""
        for key, kept in reversed(self.revisions.items()):
            kind, _, name = key.partition("/")
            yield Kind(kind), name, kept

    def changed_since(self, seen: "Document", kind: Kind) -> Iterable[str]:
        """Things of one kind that may have changed since; looks at no others, unless deleted ones were forgotten."""
        if seen.seq < self.told_from:
            yield from sorted(seen.things(kind).keys() | self.things(kind).keys())
            return
        for each, name, kept in self.newest_first():
            if kept[-1].seq <= seen.seq:
                return
            if each is kind:
                yield name

    def put(self, record: Thing, change: ChangeType, stamp: Stamp) -> "Document":
        """With this record in place of what had its name."""
        return self.edited([Edit(kind_of(record), record.name, change, record)], stamp)

    def drop(self, kind: Kind, name: str, stamp: Stamp) -> "Document":
        """Without this thing, which must be there."""
        return self.edited([Edit(kind, name, ChangeType.DELETED, None)], stamp)

    def edited(self, edits: Iterable["Edit"], stamp: Stamp) -> "Document":
        """Every change of anything goes through here.

        A record's revision, and when and by whom it was updated, are set here: whatever it says of them does not
        count. Many edits at once cost little more than one.
        """
        shelves: dict[Kind, dict[str, Any]] = {}
        unsorted = set[Kind]()
        revisions, seq = dict(self.revisions), self.seq
        for edit in edits:
            kind, name, record = edit.kind, edit.name, edit.record
            if kind not in shelves:
                shelves[kind] = dict(self.things(kind))
            shelf = shelves[kind]
            key = revisions_key(kind, name)
            kept = revisions.pop(key, ())  # popped, so that it comes to stand at the end
            number, seq = kept[-1].revision + 1 if kept else 1, seq + 1
            if record is None:
                record = shelf.pop(name)
            else:
                if name not in shelf:
                    unsorted.add(kind)
                record = shelf[name] = _stamped(record, number, stamp)
            keep = 1 if kind is Kind.PROMPT else max(stamp.keep, 1)
            revisions[key] = (*kept, Kept(number, seq, edit.change, stamp.at, stamp.by, record))[-keep:]
        for kind in unsorted:
            shelves[kind] = dict(sorted(shelves[kind].items()))
        changed: dict[str, Any] = {_SHELVES[kind]: shelf for kind, shelf in shelves.items()}
        return replace(self, **changed, revisions=revisions, seq=seq)._without_long_deleted()

    def _without_long_deleted(self) -> "Document":
        """Some at once, so that not every change has to look for them. Who had not followed so far must be told."""
        deleted = len(self.revisions) - len(self.agents) - len(self.tools) - len(self.prompts)
        if deleted <= DELETED:
            return self
        gone = (key for key, kept in self.revisions.items() if kept[-1].change is ChangeType.DELETED)
        forgotten = set(islice(gone, deleted - DELETED + DELETED // 10))
        told_from = max(self.told_from, *(self.revisions[key][-1].seq for key in forgotten))
        revisions = {key: kept for key, kept in self.revisions.items() if key not in forgotten}
        return replace(self, revisions=revisions, told_from=told_from)

    def after_a_loss(self) -> "Document":
        """As it goes on when later changes of it are lost: nobody who saw those may take it for a later one."""
        seq = self.seq + LOST_AT_MOST
        return replace(self, seq=seq, told_from=seq)


def _stamped(record: Thing, revision: int, stamp: Stamp) -> Thing:
    if isinstance(record, PromptRecord):
        return record.model_copy(update={"revision": revision})
    return record.model_copy(update={"revision": revision, "updated_at": stamp.at, "updated_by": stamp.by})


def kind_of(record: Thing) -> Kind:
    return _KINDS[type(record)]


def revisions_key(kind: Kind, name: str) -> str:
    return f"{kind}/{name}"


_KINDS: Mapping[type, Kind] = MappingProxyType(
    {AgentRecord: Kind.AGENT, ToolRecord: Kind.TOOL, PromptRecord: Kind.PROMPT}
)

Change = Callable[[Document], Document]
"""What somebody wants: old to new. Answers the very same document when there is nothing to do; raises a Refusal when
the old one forbids it. It must not wait, it may run in a thread, and on a document that is then never stored."""
