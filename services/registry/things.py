"""What agents, tools and prompts have in common: who sees one, who may change it, and at which revision."""

from collections.abc import Container
from typing import TypeVar, cast

from bureau_contracts.prompts import PromptRecord
from bureau_contracts.registry import AgentFields, AgentRecord, Kind
from bureau_contracts.shapes import JsonObject
from bureau_contracts.tools import ToolFields, ToolRecord
from kit.errors import Conflict, Forbidden, NotFound, PreconditionFailed
from kit.identity import Principal
from services.registry.document import Document, Thing

WRITE = "registry:write"
"""Scope: may register, change and delete: its own tenant's things and the shared ones."""

T = TypeVar("T", bound=Thing)


class RevisionChanged(PreconditionFailed):
    code = "revision_changed"


def may_see(principal: Principal, record: Thing) -> bool:
    return record.owner is None or record.owner == principal.tenant


def visible(document: Document, principal: Principal, kind: Kind, name: str) -> Thing:
    """Raises NotFound, with the same words whether it does not exist or belongs to another tenant."""
    return require_visible(document.things(kind).get(name), principal, kind, name)


def require_visible(record: T | None, principal: Principal, kind: Kind, name: str) -> T:
    """The same for a record that was looked up by its type: ``document.tools.get(name)``."""
    if record is None or not may_see(principal, record):
        raise NotFound(f"there is no {kind} {name!r}", code=f"{kind}_not_found")
    return record


def require_free(document: Document, kind: Kind, name: str) -> None:
    """Names are unique over all tenants, since a name is what a plan, a bill and a log call a thing by."""
    if name in document.things(kind):
        raise Conflict(f"the name {name!r} is taken", code=f"{kind}_exists")


def require_own(principal: Principal, owner: str | None, kind: Kind) -> None:
    if owner not in (None, principal.tenant):
        raise Forbidden(f"owner: {_A[kind]} belongs to your own tenant or to nobody", code="other_tenant")


def expected(record: T, revisions: Container[int] | None) -> T:
    """`revisions` are those that a caller has in mind (If-Match); None means whichever is there."""
    if revisions is not None and record.revision not in revisions:
        raise RevisionChanged(f"it has revision {record.revision} now: read it again before you change it")
    return record


def who(principal: Principal) -> str:
    return f"{principal.tenant}/{principal.subject}"


def shown_by(by: str, principal: Principal) -> str:
    """A shared thing does not tell one tenant who works for another."""
    return by if by.startswith(f"{principal.tenant}/") else ""


def shown(record: T, principal: Principal) -> T:
    """As this principal may see it: without what other tenants did and decided about it."""
    if isinstance(record, PromptRecord):
        versions = [
            each.model_copy(update={"created_by": shown_by(each.created_by, principal)}) for each in record.versions
        ]
        return cast(T, record.model_copy(update={"versions": versions}))
    update: dict[str, object] = {"updated_by": shown_by(record.updated_by, principal)}
    if isinstance(record, ToolRecord):
        own = record.tenant_risks.get(principal.tenant)
        update["tenant_risks"] = {} if own is None else {principal.tenant: own}
    return cast(T, record.model_copy(update=update))


def settable(record: Thing) -> JsonObject:
    """What a caller says of an agent or a tool, as JSON; nothing that the registry adds itself."""
    fields = AgentFields if isinstance(record, AgentRecord) else ToolFields
    return record.model_dump(mode="json", include=set(fields.model_fields))


_A = {Kind.AGENT: "an agent", Kind.TOOL: "a tool", Kind.PROMPT: "a prompt"}
