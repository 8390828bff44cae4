"""Vectors from the memory service, which has the models."""

import asyncio
import math
from collections.abc import Sequence

from bureau.errors import BureauError
from bureau.memory import MemoryClient
from bureau_contracts.memory import EmbedPurpose
from kit.identity import Principal, PrincipalKind, acting_as
from services.registry.embedder import Embedded, EmbedderAway

OURSELVES = Principal("bureau", "registry", PrincipalKind.SERVICE)
"""Embeds what agents say of themselves: nobody's request, and a principal that may see nobody's rows."""
DOCUMENTS_SECONDS = 20.0
"""For a batch of long texts on a busy machine."""


class MemoryEmbedder:
    def __init__(self, memory: MemoryClient, query_seconds: float) -> None:
        self._memory, self._query_seconds = memory, query_seconds

    async def query(self, text: str) -> Embedded:
        return await self._embed([text], EmbedPurpose.QUERY, self._query_seconds)

    async def documents(self, texts: Sequence[str]) -> Embedded:
        with acting_as(OURSELVES):
            return await self._embed(texts, EmbedPurpose.DOCUMENT, DOCUMENTS_SECONDS)

    async def _embed(self, texts: Sequence[str], purpose: EmbedPurpose, seconds: float) -> Embedded:
        try:
            async with asyncio.timeout(seconds):
                answer = await self._memory.embed(texts, purpose=purpose)
        except (BureauError, TimeoutError, ValueError) as error:  # ValueError: not an answer of the memory's
            raise EmbedderAway(repr(error)) from error
        fit = all(len(each) == answer.dimensions and all(map(math.isfinite, each)) for each in answer.vectors)
        if not fit or len(answer.vectors) != len(texts):
            raise EmbedderAway("the memory's answer does not fit what was asked")
        return Embedded(answer.model, answer.vectors)
