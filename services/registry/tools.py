"""The rules of tools: who sees and changes which source of tools, and how risky for whom what it offers is."""

from bisect import bisect_right
from collections.abc import Container

from pydantic import ValidationError

from bureau_contracts.problems import InvalidField
from bureau_contracts.registry import ChangeType, Kind
from bureau_contracts.tools import RegisterTool, TenantRisks, ToolFields, ToolPage, ToolPatch, ToolRecord
from kit.clock import Clock
from kit.errors import Invalid
from kit.identity import Principal
from kit.logs import get_logger
from kit.paging import decode_cursor, encode_cursor
from services.registry.document import REVISIONS, Document, Stamp
from services.registry.listing import Listings
from services.registry.store import RegistryStore
from services.registry.things import WRITE, expected, may_see, require_free, require_own, require_visible, shown, who

log = get_logger(__name__)


class Tools:
    """Tool sources as a principal sees them: those of its tenant and the shared ones. Any other does not exist for it.

    `revisions` are those that a caller has in mind (If-Match); None means whichever is there.
    """

    def __init__(self, store: RegistryStore, listings: Listings, clock: Clock, keep: int = REVISIONS) -> None:
        self._store, self._listings, self._clock, self._keep = store, listings, clock, keep

    def get(self, principal: Principal, name: str) -> ToolRecord:
        return self._answer(principal, _visible(self._store.document, principal, name))

    def page(self, principal: Principal, q: str, limit: int, cursor: str | None) -> ToolPage:
        """By name. Without the parameters of what is offered: those may be large, and `get` has them."""
        after, q = str(decode_cursor(cursor, str)[0]) if cursor else "", q.casefold()
        matching = [
            tool
            for tool in self._store.document.tools.values()
            if may_see(principal, tool) and (q in tool.name or q in tool.description.casefold())
        ]
        start = bisect_right(matching, after, key=lambda tool: tool.name)
        page = matching[start : start + limit]
        return ToolPage(
            tools=[self._answer(principal, tool, schemas=False) for tool in page],
            total=len(matching),
            next_cursor=encode_cursor(page[-1].name) if start + limit < len(matching) else None,
        )

    async def register(self, principal: Principal, new: RegisterTool) -> ToolRecord:
        principal.require(WRITE)
        require_own(principal, new.owner, Kind.TOOL)

        def change(document: Document) -> Document:
            require_free(document, Kind.TOOL, new.name)
            now = self._clock.now()
            tool = ToolRecord(**dict(new), revision=1, registered_at=now, updated_at=now)
            return document.put(tool, ChangeType.REGISTERED, self._stamp(principal))

        tool = (await self._store.commit(change)).tools[new.name]
        log.info("tool_registered", tool=tool.name, source=tool.source)
        return tool

    async def update(
        self, principal: Principal, name: str, patch: ToolPatch, revisions: Container[int] | None = None
    ) -> ToolRecord:
        """A patch that changes nothing makes no revision."""
        return await self._replace(principal, name, patch.model_dump(exclude_unset=True), revisions)

    async def set_risks(
        self, principal: Principal, name: str, risks: TenantRisks, revisions: Container[int] | None = None
    ) -> ToolRecord:
        """Replaces what the caller's own tenant says of the risks; empty takes it back. Touches no other tenant's."""
        return await self._replace(principal, name, {}, revisions, risks)

    async def delete(self, principal: Principal, name: str, revisions: Container[int] | None = None) -> None:
        principal.require(WRITE)

        def change(document: Document) -> Document:
            expected(_visible(document, principal, name), revisions)
            return document.drop(Kind.TOOL, name, self._stamp(principal))

        await self._store.commit(change)
        log.info("tool_deleted", tool=name)

    async def refresh(self, principal: Principal, name: str) -> ToolRecord:
        """Asks the source what it offers, now; the answer says how that went."""
        principal.require(WRITE)
        _visible(self._store.document, principal, name)
        await self._listings.refresh(name)
        return self.get(principal, name)

    async def _replace(
        self,
        principal: Principal,
        name: str,
        fields: dict[str, object],
        revisions: Container[int] | None,
        risks: TenantRisks | None = None,
    ) -> ToolRecord:
        principal.require(WRITE)
        before = 0

        def change(document: Document) -> Document:
            nonlocal before
            tool = expected(_visible(document, principal, name), revisions)
            before = tool.revision
            changed = _valid(tool, fields) if risks is None else _with_risks(tool, principal.tenant, risks)
            if changed == tool:
                return document
            return document.put(changed, ChangeType.UPDATED, self._stamp(principal))

        tool = (await self._store.commit(change)).tools[name]
        if tool.revision != before:
            log.info("tool_updated", tool=name, revision=tool.revision, fields=sorted(fields) or ["tenant_risks"])
        return self._answer(principal, tool)

    def _answer(self, principal: Principal, tool: ToolRecord, *, schemas: bool = True) -> ToolRecord:
        listing = self._listings.of(tool, principal.tenant, schemas=schemas)
        return shown(tool, principal).model_copy(update={"listing": listing})

    def _stamp(self, principal: Principal) -> Stamp:
        return Stamp(self._clock.now(), who(principal), self._keep)


def _visible(document: Document, principal: Principal, name: str) -> ToolRecord:
    return require_visible(document.tools.get(name), principal, Kind.TOOL, name)


def _with_risks(tool: ToolRecord, tenant: str, risks: TenantRisks) -> ToolRecord:
    others = {each: own for each, own in tool.tenant_risks.items() if each != tenant}
    own = {tenant: dict(risks.risks)} if risks.risks else {}
    return tool.model_copy(update={"tenant_risks": others | own})


def _valid(tool: ToolRecord, fields: dict[str, object]) -> ToolRecord:
    """The record with these fields, if it is then still one that could be registered."""
    said = {name: getattr(tool, name) for name in ToolFields.model_fields}
    try:
        new = RegisterTool.model_validate({"name": tool.name, **said, **fields})
    except ValidationError as error:
        wrong = [
            InvalidField(location=".".join(map(str, ("body", *each["loc"]))), message=each["msg"])
            for each in error.errors(include_input=False, include_url=False)
        ]
        raise Invalid("; ".join(f"{each.location}: {each.message}" for each in wrong), errors=wrong) from error
    return tool.model_copy(update=dict(new))
