"""What the registry makes of the memory's answers, odd ones too."""

import asyncio

import httpx
import pytest

from bureau.http import Caller
from bureau.memory import MemoryClient
from kit.identity import Principal, acting_as, current_principal
from services.registry.embedder import EmbedderAway
from services.registry.embedder_memory import OURSELVES, MemoryEmbedder

GOOD = '{"model": "m", "dimensions": 2, "vectors": [[0.6, 0.8]]}'


def embedder(answer: str | Exception, status: int = 200, seen: list[Principal] | None = None) -> MemoryEmbedder:
    async def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(current_principal())
        if isinstance(answer, TimeoutError):
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(status, text=answer)

    client = httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://memory")
    return MemoryEmbedder(MemoryClient(Caller(client, attempts=1)), query_seconds=0.05)


async def test_a_query_is_embedded_as_whoever_asks_and_agents_as_the_registry() -> None:
    seen: list[Principal] = []
    caller = Principal("acme", "ann")
    with acting_as(caller):
        found = await embedder(GOOD, seen=seen).query("tea")
    assert (found.model, found.vectors) == ("m", [[0.6, 0.8]])
    await embedder(GOOD, seen=seen).documents(["tea"])
    assert seen == [caller, OURSELVES]
    assert not OURSELVES.scopes


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (httpx.ConnectError("refused"), 200), (TimeoutError(), 200), ("{}", 503), ("not JSON", 200), ("{}", 200),
        ('{"model": "m", "dimensions": 2, "vectors": []}', 200),
        ('{"model": "m", "dimensions": 3, "vectors": [[0.6, 0.8]]}', 200),
        ('{"model": "m", "dimensions": 2, "vectors": [[NaN, 0.8]]}', 200),
    ],
)  # fmt: skip
async def test_whatever_is_no_vector_means_that_the_embedder_is_away(answer: str | Exception, status: int) -> None:
    with acting_as(OURSELVES), pytest.raises(EmbedderAway):
        await embedder(answer, status).query("tea")
