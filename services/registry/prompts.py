"""The registry's prompts: versions that never change, labels that point at one, and rendering. No HTTP, no file."""

import re
from bisect import bisect_right
from collections.abc import Callable, Container

from bureau_contracts.problems import InvalidField
from bureau_contracts.prompts import (
    IN_BRACES,
    LATEST,
    NewPromptVersion,
    PromptPage,
    PromptRecord,
    PromptSummary,
    PromptVersion,
    RenderedPrompt,
    RenderPrompt,
    VersionAdded,
    filled_in,
)
from bureau_contracts.registry import ChangeType, Kind
from kit.clock import Clock
from kit.errors import Conflict, Invalid, NotFound
from kit.identity import Principal
from kit.logs import get_logger
from kit.paging import decode_cursor, encode_cursor
from services.registry.document import Document, Stamp
from services.registry.store import RegistryStore
from services.registry.things import (
    WRITE,
    expected,
    may_see,
    require_free,
    require_own,
    require_visible,
    shown,
    who,
)

log = get_logger(__name__)

MAX_VERSIONS = 1000
"""Of one prompt."""
MAX_LABELS = 100

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_REFERENCE = re.compile(r"([a-z0-9_-]{1,64})(?:@(?:([a-z][a-z0-9_-]{0,63})|([1-9][0-9]{0,8})))?")


class PromptVersionNotFound(NotFound):
    code = "prompt_version_not_found"


class PromptVariables(Invalid):
    """What is declared, what is used and what is given are not the same."""

    code = "prompt_variables"


class Prompts:
    """Prompts as a principal sees them. `revisions` are those that a caller has in mind (If-Match)."""

    def __init__(self, store: RegistryStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def get(self, principal: Principal, name: str) -> PromptRecord:
        return shown(_visible(self._store.document, principal, name), principal)

    def page(self, principal: Principal, limit: int, cursor: str | None) -> PromptPage:
        after = str(decode_cursor(cursor, str)[0]) if cursor else ""
        seen = [prompt for prompt in self._store.document.prompts.values() if may_see(principal, prompt)]
        start = bisect_right(seen, after, key=lambda prompt: prompt.name)
        page = seen[start : start + limit]
        return PromptPage(
            prompts=[
                PromptSummary(name=each.name, owner=each.owner, labels=each.labels, version_count=len(each.versions))
                for each in page
            ],
            total=len(seen),
            next_cursor=encode_cursor(page[-1].name) if start + limit < len(seen) else None,
        )

    async def add_version(
        self, principal: Principal, name: str, new: NewPromptVersion, revisions: Container[int] | None = None
    ) -> VersionAdded:
        principal.require(WRITE)
        check_text(new.text, new.variables)
        require_own(principal, new.owner, Kind.PROMPT)
        added = True

        def change(document: Document) -> Document:
            nonlocal added
            prompt = document.prompts.get(name)
            if prompt is None or not may_see(principal, prompt):
                require_free(document, Kind.PROMPT, name)
                prompt = PromptRecord(name=name, owner=new.owner, labels={}, versions=[], revision=0)
            expected(prompt, revisions)
            if new.owner not in (None, prompt.owner):
                raise Invalid("owner: it is given with the first version and stays")
            newest = prompt.versions[-1] if prompt.versions else None
            added = newest is None or (newest.text, newest.variables) != (new.text, new.variables)
            if not added:
                return document
            if len(prompt.versions) >= MAX_VERSIONS:
                raise Conflict(f"a prompt has at most {MAX_VERSIONS} versions", code="too_many_versions")
            version = PromptVersion(
                version=_last_version(document, name) + 1,
                text=new.text,
                variables=new.variables,
                description=new.description,
                created_at=self._clock.now(),
                created_by=who(principal),
            )
            kind = ChangeType.UPDATED if prompt.versions else ChangeType.REGISTERED
            return document.put(with_versions(prompt, [*prompt.versions, version]), kind, self._stamp(principal))

        prompt = (await self._store.commit(change)).prompts[name]
        version = prompt.versions[-1].version
        if added:
            log.info("prompt_version_added", prompt=name, version=version)
        return VersionAdded(status="added" if added else "unchanged", prompt_name=name, version=version)

    async def set_label(
        self, principal: Principal, name: str, label: str, version: int, revisions: Container[int] | None = None
    ) -> PromptRecord:
        def label_it(prompt: PromptRecord) -> dict[str, int]:
            _find(prompt, version)
            if label not in prompt.labels and len(prompt.labels) > MAX_LABELS:
                raise Conflict(f"a prompt has at most {MAX_LABELS} labels", code="too_many_labels")
            return {**prompt.labels, label: version}

        return await self._relabel(principal, name, label, label_it, revisions)

    async def remove_label(
        self, principal: Principal, name: str, label: str, revisions: Container[int] | None = None
    ) -> PromptRecord:
        def unlabel_it(prompt: PromptRecord) -> dict[str, int]:
            if label not in prompt.labels:
                raise NotFound(f"the prompt has no label {label!r}", code="label_not_found")
            return {other: version for other, version in prompt.labels.items() if other != label}

        return await self._relabel(principal, name, label, unlabel_it, revisions)

    async def delete(self, principal: Principal, name: str, revisions: Container[int] | None = None) -> None:
        """Agents that refer to it are left as they are: they cannot answer until there is such a prompt again."""
        principal.require(WRITE)

        def change(document: Document) -> Document:
            expected(_visible(document, principal, name), revisions)
            return document.drop(Kind.PROMPT, name, self._stamp(principal))

        await self._store.commit(change)
        log.info("prompt_deleted", prompt=name)

    def render(self, principal: Principal, name: str, wanted: RenderPrompt) -> RenderedPrompt:
        """Inserts text for variables, and nothing more: inserted text is not looked at again."""
        if wanted.label is not None and wanted.version is not None:
            raise Invalid("name a label or a version, not both")
        prompt = _visible(self._store.document, principal, name)
        version = _find(prompt, resolve(prompt, wanted.version or wanted.label or LATEST))
        given = wanted.variables
        missing, extra = sorted(set(version.variables) - given.keys()), sorted(given.keys() - set(version.variables))
        if missing or extra:
            _complain("body.variables", missing=missing, undeclared=extra)
        try:
            text = filled_in(version.text, given)
        except ValueError as error:
            raise Invalid(str(error), code="prompt_too_long") from error
        return RenderedPrompt(name=name, version=version.version, text=text)

    async def _relabel(
        self,
        principal: Principal,
        name: str,
        label: str,
        relabel: Callable[[PromptRecord], dict[str, int]],
        revisions: Container[int] | None,
    ) -> PromptRecord:
        principal.require(WRITE)
        if label == LATEST:
            raise Invalid(f"{LATEST!r} always points at the newest version", code="label_reserved")

        def change(document: Document) -> Document:
            prompt = expected(_visible(document, principal, name), revisions)
            labels = dict(sorted(relabel(prompt).items()))
            if labels == prompt.labels:
                return document
            changed = prompt.model_copy(update={"labels": labels})
            return document.put(changed, ChangeType.UPDATED, self._stamp(principal))

        prompt = (await self._store.commit(change)).prompts[name]
        log.info("prompt_labelled", prompt=name, label=label, revision=prompt.revision)
        return shown(prompt, principal)

    def _stamp(self, principal: Principal) -> Stamp:
        return Stamp(self._clock.now(), who(principal))


def with_versions(prompt: PromptRecord, versions: list[PromptVersion]) -> PromptRecord:
    """With these, oldest first; ``latest`` points at the last."""
    labels = dict(sorted({**prompt.labels, LATEST: versions[-1].version}.items()))
    return prompt.model_copy(update={"versions": versions, "labels": labels})


def check_text(text: str, variables: list[str], location: str = "body") -> None:
    """Raises PromptVariables unless exactly the declared variables are used, each as ``{{ name }}``."""
    used = [match[1].strip() for match in IN_BRACES.finditer(text)]
    odd = sorted({name for name in used if not _NAME.fullmatch(name)})
    if odd:
        message = "not a variable's name in {{ }}: " + ", ".join(repr(name[:70]) for name in odd[:10])
        raise PromptVariables(message, errors=[InvalidField(location=f"{location}.text", message=message)])
    undeclared, unused = sorted(set(used) - set(variables)), sorted(set(variables) - set(used))
    if undeclared or unused or len(set(variables)) != len(variables):
        doubles = sorted({name for name in variables if variables.count(name) > 1})
        _complain(f"{location}.variables", undeclared=undeclared, unused=unused, double=doubles)


def resolve(prompt: PromptRecord, reference: str | int) -> int:
    """The version that a label or a number means. Raises PromptVersionNotFound."""
    version = reference if isinstance(reference, int) else prompt.labels.get(reference)
    if version is None or all(each.version != version for each in prompt.versions):
        raise PromptVersionNotFound(f"the prompt {prompt.name!r} has no version {str(reference)!r}")
    return version


def require_prompt(document: Document, principal: Principal, reference: str | None, location: str = "body") -> None:
    """Raises Invalid unless an agent's reference, ``name``, ``name@label`` or ``name@3``, leads to a version."""
    if reference is None:
        return
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise _unfit(location, "write name, name@label or name@version", "invalid")
    prompt = document.prompts.get(match[1])
    if prompt is None or not may_see(principal, prompt):
        raise _unfit(location, f"there is no prompt {match[1]!r}", "prompt_not_found")
    try:
        resolve(prompt, int(match[3]) if match[3] else match[2] or LATEST)
    except PromptVersionNotFound as error:
        raise _unfit(location, error.detail, "prompt_not_found") from error


def _unfit(location: str, message: str, code: str) -> Invalid:
    place = f"{location}.prompt"
    return Invalid(f"{place}: {message}", code=code, errors=[InvalidField(location=place, message=message)])


def _complain(location: str, **wrong: list[str]) -> None:
    errors = [
        InvalidField(location=f"{location}.{name}", message=why) for why, names in wrong.items() for name in names
    ]
    raise PromptVariables("; ".join(f"{each.location}: {each.message}" for each in errors[:10]), errors=errors[:50])


def _visible(document: Document, principal: Principal, name: str) -> PromptRecord:
    return require_visible(document.prompts.get(name), principal, Kind.PROMPT, name)


def _find(prompt: PromptRecord, version: int) -> PromptVersion:
    for each in prompt.versions:
        if each.version == version:
            return each
    raise PromptVersionNotFound(f"the prompt {prompt.name!r} has no version {version}")


def _last_version(document: Document, name: str) -> int:
    """Also of a prompt that was deleted, until that is forgotten (`DELETED`): what a client has kept under a version is
    not another text."""
    kept = document.kept(Kind.PROMPT, name)
    record = kept[-1].record if kept else None
    return record.versions[-1].version if isinstance(record, PromptRecord) else 0
