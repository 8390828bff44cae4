"""The memory's routes."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bureau_contracts.memory import (
    Embeddings,
    EmbedTexts,
    MemoriesErased,
    MemoriesStored,
    Memory,
    MemoryHistory,
    MemoryId,
    MemoryKind,
    MemoryPage,
    MemoryPatch,
    MemorySearch,
    MemorySearchAnswer,
    MemoryStored,
    NewMemories,
    NewMemory,
    Origin,
    Quarantined,
    SearchMode,
    SimilarPairs,
    SupersedeMemory,
)
from bureau_contracts.sessions import Deleted
from bureau_contracts.shapes import AgentName, Limit, NoNul, SubjectId
from kit import strict_json
from kit.errors import BadRequest, Invalid
from kit.identity import Principal
from kit.paging import decode_cursor, encode_cursor
from kit.telemetry import current_trace_id
from kit.web import PrincipalDep, router
from services.memory import filters
from services.memory.service import Look, MemoryService, Wanted
from services.memory.store import Position

routes = router("/memory", "memory")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_memory_id = TypeAdapter[str](MemoryId)


def _service(request: Request) -> MemoryService:
    service: MemoryService = request.app.state.memory
    return service


ServiceDep = Annotated[MemoryService, Depends(_service)]


class _Parameters(BaseModel):
    """An unknown parameter is refused: a misspelt filter would widen what is meant."""

    model_config = ConfigDict(extra="forbid")


class _Which(_Parameters):
    user_id: SubjectId | None = None
    agent: AgentName | None = None
    kind: MemoryKind | None = None

    filter: Annotated[str, Field(max_length=20_000)] | None = None
    """A condition on the metadata, as JSON."""
    origin: list[Origin] = Field(default_factory=list)
    exclude_origin: list[Origin] = Field(default_factory=list)
    quarantined: Quarantined = Quarantined.INCLUDE
    as_of: AwareDatetime | None = None
    superseded: bool = False

    def wanted(self) -> Wanted:
        condition = None if self.filter is None else filters.read(_json(self.filter))
        return Wanted(
            self.user_id, self.agent, self.kind, condition, tuple(self.origin), tuple(self.exclude_origin),
            self.quarantined, self.as_of, self.superseded,
        )  # fmt: skip


class _ListParameters(_Which):
    limit: Limit = 50
    cursor: Annotated[str, Field(max_length=500)] | None = None


class _SearchParameters(_Which):
    quarantined: Quarantined = Quarantined.EXCLUDE
    q: Annotated[str, Field(min_length=1, max_length=20_000), NoNul]
    k: Annotated[int, Field(ge=1, le=100)] = 5
    mode: SearchMode = SearchMode.HYBRID
    min_score: Annotated[float, Field(allow_inf_nan=False)] | None = None
    recency_half_life_days: Annotated[float, Field(gt=0, le=36_500)] | None = None
    importance_weight: Annotated[float, Field(ge=0, le=2)] = 0


class _SimilarParameters(_Which):
    above: Annotated[float, Field(gt=0, le=1)] = 0.9
    limit: Limit = 50


class _EraseParameters(_Parameters):
    user_id: SubjectId


@routes.post("", status_code=201)
async def store(principal: PrincipalDep, service: ServiceDep, body: NewMemory) -> MemoryStored:
    """Stores a memory. The same text for the same owner is stored once; `created` is then false."""
    return (await service.remember(principal, [body]))[0]


@routes.post("/batch", status_code=201)
async def store_batch(principal: PrincipalDep, service: ServiceDep, body: NewMemories) -> MemoriesStored:
    """Stores all of the memories, or none."""
    return MemoriesStored(memories=await service.remember(principal, body.memories))


@routes.get("")
async def page(principal: PrincipalDep, service: ServiceDep, which: Annotated[_ListParameters, Query()]) -> MemoryPage:
    """Memories, newest first."""
    after = _position(which.cursor) if which.cursor else None
    memories = await service.page(principal, which.wanted(), which.limit + 1, after)
    shown = memories[: which.limit]
    return MemoryPage(memories=shown, next_cursor=_cursor(shown[-1]) if len(memories) > which.limit else None)


@routes.get("/search")
async def search(
    principal: PrincipalDep, service: ServiceDep, asked: Annotated[_SearchParameters, Query()]
) -> MemorySearchAnswer:
    """The memories that fit `q` best. Answers 200 with `degraded` and why: without results when the database
    is away, by words alone when the embedder is."""
    return await _found(service, principal, asked.wanted(), asked)


@routes.post("/search")
async def search_by_body(principal: PrincipalDep, service: ServiceDep, body: MemorySearch) -> MemorySearchAnswer:
    """The same search, for queries and filters that are too long for an address."""
    condition = None if body.filter is None else filters.read(body.filter)
    wanted = Wanted(
        body.user_id, body.agent, body.kind, condition, tuple(body.origins), tuple(body.exclude_origins),
        body.quarantined, body.as_of, body.superseded,
    )  # fmt: skip
    return await _found(service, principal, wanted, body)


@routes.get("/similar")
async def similar(
    principal: PrincipalDep, service: ServiceDep, asked: Annotated[_SimilarParameters, Query()]
) -> SimilarPairs:
    """Pairs of one owner's memories that say nearly the same, among its newest thousand."""
    return SimilarPairs(pairs=await service.similar(principal, asked.wanted(), asked.above, asked.limit))


@routes.post("/embed")
async def embed(principal: PrincipalDep, service: ServiceDep, body: EmbedTexts) -> Embeddings:
    """Vectors of texts, by the model that memories are embedded with. Works while the database is away."""
    return await service.embed(body.texts, body.purpose)


@routes.delete("")
async def erase(
    principal: PrincipalDep, service: ServiceDep, whose: Annotated[_EraseParameters, Query()]
) -> MemoriesErased:
    """Erases one person's memories. `user_id` must be given: nothing is ever erased by the lack of a filter."""
    return MemoriesErased(erased=await service.erase(principal, whose.user_id))


@routes.get("/{memory_id}")
async def get(principal: PrincipalDep, service: ServiceDep, memory_id: MemoryId) -> Memory:
    return await service.get(principal, memory_id)


@routes.patch("/{memory_id}")
async def update(principal: PrincipalDep, service: ServiceDep, memory_id: MemoryId, body: MemoryPatch) -> Memory:
    """Changes what is sent. The version before is kept in the history; a null takes an expiry away."""
    return await service.update(principal, memory_id, body)


@routes.delete("/{memory_id}")
async def delete(principal: PrincipalDep, service: ServiceDep, memory_id: MemoryId, purge: bool = False) -> Deleted:
    """Deletes a memory: nothing finds it any more. It can be restored for some days; with `purge` nothing is left."""
    await service.forget(principal, memory_id, purge=purge)
    return Deleted()


@routes.post("/{memory_id}/restore")
async def restore(principal: PrincipalDep, service: ServiceDep, memory_id: MemoryId) -> Memory:
    """Takes a deletion back. 404 when there is none, it was long ago, or the same text was stored again since."""
    return await service.restore(principal, memory_id)


@routes.post("/{memory_id}/supersede", status_code=201)
async def supersede(principal: PrincipalDep, service: ServiceDep, memory_id: MemoryId, body: SupersedeMemory) -> Memory:
    """Something else is true now. The old memory is kept with the time until which it was true, and no longer found.

    409: `memory_superseded` (it was before), `same_text` (the owner has the new text already).
    """
    return await service.supersede(principal, memory_id, body)


@routes.get("/{memory_id}/history")
async def history(principal: PrincipalDep, service: ServiceDep, memory_id: MemoryId) -> MemoryHistory:
    """Former versions, newest first, 200 at most."""
    return MemoryHistory(versions=await service.history(principal, memory_id))


async def _found(
    service: MemoryService, principal: Principal, wanted: Wanted, asked: _SearchParameters | MemorySearch
) -> MemorySearchAnswer:
    half_life, weight = asked.recency_half_life_days, asked.importance_weight
    found = await service.search(
        principal, wanted, Look(asked.q, asked.k, asked.mode, asked.min_score, half_life, weight)
    )
    return MemorySearchAnswer(
        results=found.hits,
        degraded=found.degraded is not None,
        degraded_reason=found.degraded,
        trace_id=current_trace_id(),
    )


def _json(written: str) -> Any:
    try:
        return strict_json.loads(written.encode(errors="surrogatepass"))
    except BadRequest as error:
        raise filters.BadFilter("filter", error.detail.removeprefix("the body is ")) from None


def _cursor(last: Memory) -> str:
    return encode_cursor((last.created_at - _EPOCH) // timedelta(microseconds=1), last.memory_id)


def _position(cursor: str) -> Position:
    microseconds, memory_id = decode_cursor(cursor, int, str)
    try:
        return Position(_EPOCH + timedelta(microseconds=int(microseconds)), _memory_id.validate_python(memory_id))
    except (OverflowError, ValidationError):
        raise Invalid("cursor: not one that this list gave out", code="invalid_cursor") from None
