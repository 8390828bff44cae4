"""Vectors that were made lately, in front of an embedder that takes long to make them. In this process alone."""

import asyncio
import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence

from bureau_contracts.memory import EmbedPurpose
from services.memory.embedder import Embedder

KEPT_NUMBERS = 2**22
"""About 4 million numbers of 4 bytes: 16 MB, some 10,000 vectors of 384 numbers."""

_Key = tuple[EmbedPurpose, bytes]


class CachedEmbedder:
    """Embedder. A text that two callers ask for at once is made once; failures are not remembered."""

    def __init__(self, embedder: Embedder, kept_numbers: int = KEPT_NUMBERS) -> None:
        self._embedder = embedder
        self._most = max(1, kept_numbers // embedder.dimensions)
        self._kept: OrderedDict[_Key, array[float]] = OrderedDict()
        self._making: dict[_Key, asyncio.Future[None]] = {}

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    @property
    def strength(self) -> str:
        return self._embedder.strength

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose) -> list[list[float]]:
        keys = [(purpose, hashlib.sha256(text.encode(errors="surrogatepass")).digest()) for text in texts]
        found: dict[_Key, array[float]] = {}
        while missing := [key for key in dict.fromkeys(keys) if not self._find(key, found)]:
            made_elsewhere = [self._making[key] for key in missing if key in self._making]
            if made_elsewhere:
                await asyncio.wait(made_elsewhere)
                continue
            await self._make(missing, dict(zip(keys, texts, strict=True)), purpose, found)
        return [list(found[key]) for key in keys]

    def _find(self, key: _Key, found: dict[_Key, "array[float]"]) -> bool:
        if key not in found and key in self._kept:
            self._kept.move_to_end(key)
            found[key] = self._kept[key]
        return key in found

    async def _make(
        self, keys: Sequence[_Key], texts: dict[_Key, str], purpose: EmbedPurpose, found: dict[_Key, "array[float]"]
    ) -> None:
        done = asyncio.get_running_loop().create_future()
        self._making.update(dict.fromkeys(keys, done))
        try:
            vectors = await self._embedder.embed([texts[key] for key in keys], purpose)
        finally:
            for key in keys:
                del self._making[key]
            done.set_result(None)
        for key, vector in zip(keys, vectors, strict=True):
            # 32-bit floats: more than the 16 that a stored vector has.
            found[key] = self._kept[key] = array("f", vector)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
