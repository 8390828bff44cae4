"""Hashed n-grams: the embedder that needs no model, no network and no package. It sees spelling, not meaning."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from zlib import crc32

from bureau_contracts.memory import EmbedPurpose
from services.memory.wording import normalised, words

NAME = "hashed-1024-v1"
"""Whatever changes a vector below must change this name: stored vectors are compared with new ones."""
DIMENSIONS = 1024
READ_CHARACTERS = 8_000
"""How much of a text is read; models that are asked over a network read about as much."""

_GRAM_LENGTHS = (3, 4, 5)
_GRAM_WEIGHT = 0.4
"""Of an n-gram beside its whole word's 1: inflections still meet, and long, telling words outweigh short ones."""
_LOOP_CHARACTERS = 4_000
"""Up to so many characters (about a millisecond) are read in the event loop, more in a thread."""


class HashedEmbedder:
    name = NAME
    dimensions = DIMENSIONS
    strength = "lexical only"

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose = EmbedPurpose.DOCUMENT) -> list[list[float]]:
        if sum(map(len, texts)) <= _LOOP_CHARACTERS:
            return [vector_of(text) for text in texts]
        return await asyncio.to_thread(lambda: [vector_of(text) for text in texts])


def vector_of(text: str) -> list[float]:
    """The unit vector of the text's words and their n-grams; a text without words is one feature as a whole."""
    read = text[:READ_CHARACTERS]
    vector = [0.0] * DIMENSIONS
    for word, times in Counter(words(read)).items():
        frequency = 1 + math.log(times)
        for index, value in _features(word):
            vector[index] += frequency * value
    length = math.sqrt(math.fsum(value * value for value in vector))
    if length == 0:
        vector[_place(normalised(read))[0]] = length = 1.0
    return [value / length for value in vector]


@lru_cache(maxsize=8192)
def _features(word: str) -> tuple[tuple[int, float], ...]:
    index, sign = _place(f"{word} ")  # a word's own feature is no n-gram's: no n-gram holds a space
    features = [(index, float(sign))]
    padded = f"<{word}>"
    for length in _GRAM_LENGTHS:
        for start in range(len(padded) - length + 1):
            index, sign = _place(padded[start : start + length])
            features.append((index, sign * _GRAM_WEIGHT))
    return tuple(features)


def _place(feature: str) -> tuple[int, int]:
    """Where a feature goes, and with which sign: features that share a place cancel out on average."""
    hashed = crc32(feature.encode(errors="surrogatepass"))
    return hashed % DIMENSIONS, 1 if hashed & 0x8000_0000 else -1
