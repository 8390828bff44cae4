"""Export and import of the registry, as one caller may see and change it. An import is one commit, or nothing."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from bureau_contracts.problems import InvalidField
from bureau_contracts.prompts import LATEST, PromptLabel, PromptName, PromptRecord, PromptText, PromptVersion, Variable
from bureau_contracts.registry import (
    AgentRecord,
    ChangeType,
    ImportChange,
    ImportMode,
    ImportReport,
    Kind,
    RegisterAgent,
    RegistryDocument,
)
from bureau_contracts.risk import Risk
from bureau_contracts.shapes import JsonObject, Label, Request, SubjectId
from bureau_contracts.tools import RegisterTool, ToolRecord
from kit.clock import Clock
from kit.errors import Conflict, Invalid
from kit.garbage import many_that_stay
from kit.identity import Principal
from kit.logs import get_logger
from services.registry.document import REVISIONS, Document, Edit, Stamp, Thing
from services.registry.prompts import MAX_LABELS, MAX_VERSIONS, check_text, require_prompt, with_versions
from services.registry.store import RegistryStore
from services.registry.things import WRITE, may_see, require_own, settable, who

log = get_logger(__name__)

VERSION = "1.1.0"
"""Of the document's form; that of the file (file_format.py), whose records it has."""
_KNOWN = re.compile(r"1\.[01]\.\d{1,6}")

MANY = 1000
"""Things in a document from which its import is spared full collections."""

M = TypeVar("M", bound=BaseModel)


class _Version(Request):
    version: int = Field(ge=1, le=10**9)
    text: PromptText
    variables: list[Variable] = Field(default_factory=list, max_length=100)
    description: str = Field("", max_length=4000)


class _Prompt(Request):
    """A prompt in a document. Its versions keep their numbers."""

    name: PromptName
    owner: SubjectId | None = None
    labels: dict[PromptLabel, int] = Field(default_factory=dict, max_length=MAX_LABELS)
    versions: list[_Version] = Field(min_length=1, max_length=MAX_VERSIONS)


class _Tool(RegisterTool):
    """A tool in a document: with what the caller's own tenant decided about its risks."""

    tenant_risks: dict[SubjectId, dict[Label, Risk]] = Field(default_factory=dict, max_length=1)


class Wanted(BaseModel):
    """A document that was read and found right, by kind and name."""

    agents: dict[str, RegisterAgent]
    tools: dict[str, _Tool]
    prompts: dict[str, _Prompt]


class Transfer:
    """What a principal exports is what it may see; what it imports it owns or shares with all."""

    def __init__(self, store: RegistryStore, clock: Clock, keep: int = REVISIONS) -> None:
        self._store, self._clock, self._keep = store, clock, keep

    def export(self, principal: Principal) -> RegistryDocument:
        """Call it from a thread: it may be long."""
        document = self._store.document
        said: dict[Kind, dict[str, JsonObject]] = {
            kind: {
                name: _said(record, principal)
                for name, record in document.things(kind).items()
                if may_see(principal, record)
            }
            for kind in Kind
        }
        return RegistryDocument(
            version=VERSION,
            exported_at=self._clock.now(),
            agents=said[Kind.AGENT],
            tools=said[Kind.TOOL],
            prompts=said[Kind.PROMPT],
        )

    async def read(
        self, principal: Principal, given: RegistryDocument, mode: ImportMode, dry_run: bool
    ) -> ImportReport:
        """Changes what differs. Raises Invalid for what no caller could have registered, naming every such field;
        Conflict when another tenant has a name, or when a prompt's version would become another text."""
        principal.require(WRITE)
        with many_that_stay() if _size(given) >= MANY else nullcontext():
            return await self._read(principal, given, mode, dry_run)

    async def _read(
        self, principal: Principal, given: RegistryDocument, mode: ImportMode, dry_run: bool
    ) -> ImportReport:
        wanted = await asyncio.to_thread(_wanted, given)
        for kind, things in _by_kind(wanted).items():
            for thing in things.values():
                require_own(principal, thing.owner, kind)
        for tool in wanted.tools.values():
            if tool.tenant_risks.keys() - {principal.tenant}:
                raise _wrong(f"tools.{tool.name}.tenant_risks", "only your own tenant's")
        report: list[ImportChange] = []

        def change(document: Document) -> Document:
            nonlocal report
            changed, report = self._apply(document, principal, wanted, mode)
            return changed

        if dry_run:
            await asyncio.to_thread(change, self._store.document)
        else:
            await self._store.commit(change)
            log.info("registry_imported", mode=mode, changes=len(report))
        named = sum(len(things) for things in _by_kind(wanted).values())
        changed = sum(each.change is not ChangeType.DELETED for each in report)
        return ImportReport(status="dry_run" if dry_run else "imported", changes=report, unchanged=named - changed)

    def _apply(
        self, document: Document, principal: Principal, wanted: Wanted, mode: ImportMode
    ) -> tuple[Document, list[ImportChange]]:
        now = self._clock.now()
        edits, report = list[Edit](), list[ImportChange]()
        for kind, things in _by_kind(wanted).items():
            there = document.things(kind)
            for name, thing in things.items():
                before = there.get(name)
                if before is not None and not may_see(principal, before):
                    raise Conflict(f"the name {name!r} is taken", code=f"{kind}_exists")
                after = _record(document, thing, before, principal, now, mode)
                if (fields := _differing(before, after, principal)) or before is None:
                    edits.append(Edit(kind, name, ChangeType.IMPORTED, after))
                    report.append(
                        ImportChange(kind=kind, name=name, change=ChangeType.UPDATED, fields=fields)
                        if before is not None
                        else ImportChange(kind=kind, name=name, change=ChangeType.REGISTERED)
                    )
            if mode is ImportMode.REPLACE:
                for name, before in there.items():
                    if name not in things and may_see(principal, before):
                        edits.append(Edit(kind, name, ChangeType.DELETED, None))
                        report.append(ImportChange(kind=kind, name=name, change=ChangeType.DELETED))
        if not edits:
            return document, report
        changed = document.edited(edits, Stamp(now, who(principal), self._keep))
        for edit in edits:
            if isinstance(edit.record, AgentRecord):
                require_prompt(changed, principal, edit.record.prompt, f"agents.{edit.name}")
        return changed, report


def _size(given: RegistryDocument) -> int:
    return len(given.agents) + len(given.tools) + len(given.prompts)


def _by_kind(wanted: Wanted) -> Mapping[Kind, Mapping[str, RegisterAgent | _Tool | _Prompt]]:
    return {Kind.PROMPT: wanted.prompts, Kind.TOOL: wanted.tools, Kind.AGENT: wanted.agents}


def _said(record: Thing, principal: Principal) -> JsonObject:
    """All that a caller may set, and nothing that the registry adds itself."""
    if isinstance(record, PromptRecord):
        return {
            "owner": record.owner,
            "labels": {label: version for label, version in record.labels.items() if label != LATEST},
            "versions": [each.model_dump(mode="json", include=set(_Version.model_fields)) for each in record.versions],
        }
    said = settable(record)
    if isinstance(record, ToolRecord) and (own := record.tenant_risks.get(principal.tenant)):
        said["tenant_risks"] = {principal.tenant: own}
    return said


def _differing(before: Thing | None, after: Thing, principal: Principal) -> list[str]:
    if before is None:
        return []
    old, new = _said(before, principal), _said(after, principal)
    return sorted(field for field in old.keys() | new.keys() if old.get(field) != new.get(field))


def _record(
    document: Document,
    thing: RegisterAgent | _Tool | _Prompt,
    before: Thing | None,
    principal: Principal,
    now: datetime,
    mode: ImportMode,
) -> Thing:
    if isinstance(thing, _Prompt):
        return _prompt(document, thing, principal, now, mode)
    added: dict[str, Any] = {"revision": 1, "registered_at": now, "updated_at": now}
    if before is not None and not isinstance(before, PromptRecord):
        added["registered_at"] = before.registered_at
    if isinstance(thing, RegisterAgent):
        return AgentRecord(**dict(thing), **added)
    fields = dict(thing)
    risks = dict(before.tenant_risks) if isinstance(before, ToolRecord) else {}
    own = fields.pop("tenant_risks").get(principal.tenant)
    if own is not None:
        risks[principal.tenant] = own
    elif mode is ImportMode.REPLACE:
        risks.pop(principal.tenant, None)
    return ToolRecord(**fields, **added, tenant_risks=risks)


def _prompt(document: Document, wanted: _Prompt, principal: Principal, now: datetime, mode: ImportMode) -> PromptRecord:
    """Versions are added behind those that are or were there, and never changed; nothing takes one away."""
    kept = document.kept(Kind.PROMPT, wanted.name)
    known = kept[-1].record if kept and may_see(principal, kept[-1].record) else None
    versions = list(known.versions) if isinstance(known, PromptRecord) else []
    by_number = {each.version: each for each in versions}
    for each in wanted.versions:
        same = by_number.get(each.version)
        if same is not None and (same.text, same.variables, same.description) == (
            each.text, each.variables, each.description,
        ):  # fmt: skip
            continue
        if same is not None or (versions and each.version < versions[-1].version):
            raise Conflict(
                f"prompts.{wanted.name}.versions: version {each.version} is another one here, and none ever changes",
                code="prompt_version_differs",
            )
        versions.append(PromptVersion(**dict(each), created_at=now, created_by=who(principal)))
    there = document.prompts.get(wanted.name)
    labels = dict(there.labels) if there is not None and mode is ImportMode.MERGE else {}
    prompt = PromptRecord(
        name=wanted.name, owner=wanted.owner, labels={**labels, **wanted.labels}, versions=versions, revision=0
    )
    return with_versions(prompt, versions)


def _wanted(given: RegistryDocument) -> Wanted:
    if not _KNOWN.fullmatch(given.version):
        raise _wrong("version", f"this registry reads documents of version {VERSION}")
    wrong: list[InvalidField] = []
    wanted = Wanted(
        agents=_validated("agents", given.agents, RegisterAgent, wrong),
        tools=_validated("tools", given.tools, _Tool, wrong),
        prompts=_validated("prompts", given.prompts, _Prompt, wrong),
    )
    for name, prompt in wanted.prompts.items():
        wrong += _wrong_in_prompt(f"prompts.{name}", prompt)
    if wrong:
        raise Invalid("; ".join(f"{each.location}: {each.message}" for each in wrong[:5]), errors=wrong[:50])
    return wanted


def _validated(where: str, given: Mapping[str, JsonObject], model: type[M], wrong: list[InvalidField]) -> dict[str, M]:
    found = {}
    for name, fields in sorted(given.items()):
        if "name" in fields:
            wrong.append(InvalidField(location=f"{where}.{name}.name", message="the key is the name"))
            continue
        try:
            found[name] = model.model_validate({**fields, "name": name})
        except ValidationError as error:
            wrong += [
                InvalidField(location=".".join(map(str, (where, name, *each["loc"]))), message=each["msg"])
                for each in error.errors(include_input=False, include_url=False)
            ]
    return found


def _wrong_in_prompt(where: str, prompt: _Prompt) -> list[InvalidField]:
    wrong = []
    numbers = [each.version for each in prompt.versions]
    if numbers != sorted(set(numbers)):
        wrong.append(InvalidField(location=f"{where}.versions", message="oldest first, and each number once"))
    for label, version in prompt.labels.items():
        if label == LATEST or version not in numbers:
            why = "always points at the newest version" if label == LATEST else f"there is no version {version}"
            wrong.append(InvalidField(location=f"{where}.labels.{label}", message=why))
    for index, each in enumerate(prompt.versions):
        try:
            check_text(each.text, each.variables, f"{where}.versions.{index}")
        except Invalid as error:
            wrong += error.errors
    return wrong


def _wrong(location: str, message: str) -> Invalid:
    return Invalid(f"{location}: {message}", errors=[InvalidField(location=location, message=message)])
