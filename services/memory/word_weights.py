"""How much each word of a query is worth: the rarer it is among the memories within reach, the more. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

SAMPLED = 256
"""So many memories within reach tell how common words are there: all, or some of each part of the time in which they
were stored. The newest alone would be what was stored in one go, or said in one conversation."""
SLICES = 8
MOST_FORMS = 64
MOST_BROUGHT = 2_000
"""About so many memories are ranked by words where not all within reach can be."""


@dataclass(frozen=True, slots=True)
class AskedWord:
    forms: tuple[str, ...]
    """As written, and its base forms; as the store looks for them."""
    count: int
    """Of the sampled memories that have it in any form."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A query's words among the memories within reach: as many of the first as have MOST_FORMS forms together."""

    words: tuple[AskedWord, ...] = ()
    sampled: int = 0

    @classmethod
    def first(cls, words: Iterable[AskedWord], sampled: int) -> Self:
        kept, forms = list[AskedWord](), 0
        for word in words:
            forms += len(word.forms)
            if forms > MOST_FORMS:
                break
            kept.append(word)
        return cls(tuple(kept), sampled)

    def worth(self) -> tuple[list[str], list[int]]:
        """All forms, and what each is worth."""
        each = [(form, weight(word.count, self.sampled)) for word in self.words for form in word.forms]
        return [form for form, _ in each], [worth for _, worth in each]

    def rarest(self, within: int, most: int) -> tuple[AskedWord, ...]:
        """Those that together bring about so many of the memories within reach, and at least one."""
        brought, kept = 0.0, set[AskedWord]()
        for word in sorted(self.words, key=lambda word: word.count):
            brought += within * word.count / max(1, self.sampled)
            if kept and brought > most:
                break
            kept.add(word)
        return tuple(word for word in self.words if word in kept)


def weight(count: int, sampled: int) -> int:
    """Of each form of a word that so many of the sampled memories have: BM25's inverse document frequency.

    At least 1. In thousandths, so that sums are exact and equals are equal in every store.
    """
    return max(1, round(1000 * math.log(1 + (sampled - count + 0.5) / (count + 0.5))))
