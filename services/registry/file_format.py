"""The registry's document as the bytes of its file, and back. Touches no disk."""

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import to_json

from bureau_contracts.prompts import PromptName, PromptRecord
from bureau_contracts.registry import AgentRecord, ChangeType, Kind
from bureau_contracts.shapes import AgentName, JsonObject
from bureau_contracts.tools import ToolName, ToolRecord
from services.registry.document import Document, Kept, Thing, revisions_key

VERSION = (1, 1, 0)
"""Of the file's form. The second number grows when something is added, the first when something changes.

1.0.0 had agents alone; each of them gets its first kept revision when such a file is read.
"""

NEVER_STORED = {"health", "listing"}
"""Fields of records that are filled in answers."""

_CHECKSUM = b'"checksum": "crc32-of-lines:%08x"}\n'
"""The file's last line: what is still JSON may be damaged too. A file without it is believed, so that one can be
written by hand. It sums the sums of the lines before it, so that a change sums one line anew, not ten thousand."""
_CHECKSUM_LINE = re.compile(rb'"checksum": "crc32-of-lines:([0-9a-f]{8})"\}\n?\Z')

T = TypeVar("T")


class RegistryFileError(Exception):
    """The file cannot be used and must not be touched; the message says what to do."""


class Damaged(Exception):
    """This file is not a whole registry; the message says why, without quoting it."""


class Renderer:
    """Writes documents one after the other; what has not changed since the last one is not encoded again."""

    def __init__(self) -> None:
        self._things = {kind: _Lines[Thing](lambda _, thing: to_json(thing, exclude=NEVER_STORED)) for kind in Kind}
        self._histories = _Histories()
        self._revisions = _Lines[tuple[Kept, ...]](self._histories.encode)

    def render(self, document: Document, now: datetime) -> list[bytes]:
        """The file's parts: one thing per line, so that versions can be compared by eye."""
        head = b'{"version": "%s", "last_updated": %s, "seq": %d, "told_from": %d,'
        version = ".".join(map(str, VERSION)).encode()
        head %= version, to_json(now), document.seq, document.told_from
        parts, sums = [head, b"\n"], [_line_sum(head)]
        for title, (lines, line_sums) in (
            (b'"agents": {', self._things[Kind.AGENT].render(document.agents)),
            (b'"tools": {', self._things[Kind.TOOL].render(document.tools)),
            (b'"prompts": {', self._things[Kind.PROMPT].render(document.prompts)),
            (b'"revisions": {', self._revisions.render(document.revisions)),
        ):
            parts += title, b"\n", lines, b"\n},\n"
            sums += _line_sum(title), line_sums, _line_sum(b"},")
        self._histories.forget_all_but(document.revisions)
        return [*parts, _CHECKSUM % zlib.crc32(b"".join(sums))]


class _Lines(Generic[T]):
    """What was encoded last. A change looks through ten thousand lines, so the loops are the short ones."""

    def __init__(self, encode: Callable[[str, T], bytes]) -> None:
        self._encode = encode
        self._lines: dict[str, bytes] = {}
        self._sums: dict[str, bytes] = {}
        self._seen: Mapping[str, T] = {}

    def render(self, values: Mapping[str, T]) -> tuple[bytes, bytes]:
        """The lines, and their sums."""
        if values is not self._seen:
            self._follow(values)
        return b",\n".join(self._lines.values()), b"".join(self._sums.values()) or _line_sum(b"")

    def _follow(self, values: Mapping[str, T]) -> None:
        """Encodes what changed, and brings the lines into the order of the values."""
        lines, sums, seen = self._lines, self._sums, self._seen
        changed = [name for name, value in values.items() if seen.get(name) is not value]
        encoded = {name: to_json(name) + b": " + self._encode(name, values[name]) for name in changed}
        names = list(values)
        if names[-len(changed) :] == changed:
            for name in changed:  # they moved to the end, as revisions do
                lines.pop(name, None)
                sums.pop(name, None)
        lines.update(encoded)
        sums.update({name: _line_sum(line) for name, line in encoded.items()})
        if list(lines) != names:
            self._lines = {name: lines[name] for name in names}
            self._sums = {name: sums[name] for name in names}
        self._seen = values


class _Histories:
    """Encodes the revisions of things. An older one never changes again, so it is encoded once."""

    def __init__(self) -> None:
        self._older: dict[str, list[tuple[Kept, bytes]]] = {}

    def forget_all_but(self, revisions: Mapping[str, tuple[Kept, ...]]) -> None:
        if len(self._older) > len(revisions):
            self._older = {key: lines for key, lines in self._older.items() if key in revisions}

    def encode(self, key: str, kept: tuple[Kept, ...]) -> bytes:
        """The record that the newest one brought stands among the things already, unless it was deleted."""
        known = {id(each): line for each, line in self._older.get(key, ())}
        older = [(each, known.get(id(each)) or _encode_one(each, False)) for each in kept[:-1]]
        newest = _encode_one(kept[-1], kept[-1].change is not ChangeType.DELETED)
        self._older[key] = older
        return b"[" + b", ".join([*(line for _, line in older), newest]) + b"]"


def _encode_one(kept: Kept, current: bool) -> bytes:
    fields: dict[str, Any] = {
        "revision": kept.revision, "seq": kept.seq, "change": kept.change, "at": kept.at, "by": kept.by,
    }  # fmt: skip
    head = to_json(fields)
    return head if current else head[:-1] + b',"record":' + to_json(kept.record, exclude=NEVER_STORED) + b"}"


def parse(content: bytes) -> Document:
    """Raises Damaged, and RegistryFileError for a file of a newer Bureau."""
    summed = _check_sum(content)
    try:
        version = re.fullmatch(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})", _Head.model_validate_json(content).version)
        if version is None:
            raise Damaged("its version is not a version")
        if (int(version[1]), int(version[2])) > VERSION[:2]:
            raise RegistryFileError(
                f"the registry file has version {version[0]}, written by a newer Bureau; this one knows up to "
                f"{'.'.join(map(str, VERSION))} and leaves it untouched: start the newer one, or move the file away"
            )
        read = _Content.model_validate_json(content)
        if read.checksum is not None and not summed:
            raise Damaged(_NOT_AS_WRITTEN)
        return read.document()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise Damaged(f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from error


_NOT_AS_WRITTEN = "its checksum does not fit: it is damaged, or was edited and must lose its checksum first"


def _line_sum(line: bytes) -> bytes:
    """Whether a comma follows depends on a line's neighbours; one that is missing is no JSON any more."""
    return zlib.crc32(line.removesuffix(b",")).to_bytes(4, "big")


def _check_sum(content: bytes) -> bool:
    """Whether it has one at its end; raises Damaged when that is not its own. Comes before all else, for it may be
    the version that is damaged."""
    line = _CHECKSUM_LINE.search(content, max(0, len(content) - 100))
    if line:
        summed = b"".join(map(_line_sum, content[: line.start()].removesuffix(b"\n").split(b"\n")))
        if int(line[1], 16) != zlib.crc32(summed):
            raise Damaged(_NOT_AS_WRITTEN)
    return line is not None


class _Head(BaseModel):
    """What every version of the file has."""

    model_config = ConfigDict(extra="ignore")
    version: str


class _Revision(BaseModel):
    revision: int = Field(ge=1)
    seq: int = Field(ge=1)
    change: ChangeType
    at: AwareDatetime
    by: str
    record: JsonObject | None = None


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")  # or a damaged name of a field would be a lost field
    version: str
    last_updated: AwareDatetime
    seq: int = Field(0, ge=0)
    told_from: int = Field(0, ge=0)
    agents: dict[AgentName, AgentRecord]
    tools: dict[ToolName, ToolRecord] = {}
    prompts: dict[PromptName, PromptRecord] = {}
    revisions: dict[str, list[_Revision]] = {}
    checksum: str | None = None

    @model_validator(mode="after")
    def _everything_under_its_own_name(self) -> "_Content":
        for things in (self.agents, self.tools, self.prompts):
            for name, thing in things.items():
                if name != thing.name:
                    raise ValueError(f"{thing.name!r} stands under the name {name!r}")
        return self

    def document(self) -> Document:
        found = Document(_by_name(self.agents), _by_name(self.tools), _by_name(self.prompts))
        kept: dict[str, tuple[Kept, ...]] = {}
        for key, revisions in self.revisions.items():
            kind, _, name = key.partition("/")
            if kind not in _MODELS or not revisions:
                raise Damaged("revisions: of nothing")
            kept[key] = _kept(Kind(kind), found.things(Kind(kind)).get(name), revisions)
        seq = max([self.seq, *(each[-1].seq for each in kept.values())])
        for kind in Kind:
            for name, thing in found.things(kind).items():
                if (key := revisions_key(kind, name)) not in kept:
                    seq += 1
                    kept[key] = (_first(thing, seq, self.last_updated),)
        in_order = dict(sorted(kept.items(), key=lambda item: item[1][-1].seq))
        return replace(found, revisions=in_order, seq=seq, told_from=self.told_from)


_MODELS: dict[str, type[Thing]] = {Kind.AGENT: AgentRecord, Kind.TOOL: ToolRecord, Kind.PROMPT: PromptRecord}


def _by_name(things: dict[str, T]) -> dict[str, T]:
    return dict(sorted(things.items()))


def _kept(kind: Kind, current: Thing | None, revisions: list[_Revision]) -> tuple[Kept, ...]:
    """The newest of a thing that is there has the very record that stands among the things."""
    if (revisions[-1].change is ChangeType.DELETED) != (current is None):
        raise Damaged(f"revisions: the last one of some {kind} does not fit what is there")
    kept = []
    for each in revisions:
        record = current if current is not None and each is revisions[-1] else _MODELS[kind].model_validate(each.record)
        kept.append(Kept(each.revision, each.seq, each.change, each.at, each.by, record))
    return tuple(kept)


def _first(thing: Thing, seq: int, now: datetime) -> Kept:
    """For what has none: it comes from a file of form 1.0, or was written into the file by hand."""
    at, by = (now, "") if isinstance(thing, PromptRecord) else (thing.updated_at, thing.updated_by)
    change = ChangeType.REGISTERED if thing.revision == 1 else ChangeType.UPDATED
    return Kept(thing.revision, seq, change, at, by, thing)
