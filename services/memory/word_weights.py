"""How much each word of a query is worth: the rarer it is among the memories within reach, the more. Pure."""

import math
from dataclasses import dataclass

SAMPLED = 256
"""So many of the newest memories within reach tell how common words are there."""
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
    """A query's words among the memories within reach."""

    words: tuple[AskedWord, ...] = ()
    sampled: int = 0

    def worth(self) -> tuple[list[str], list[int]]:
        """The first MOST_FORMS forms, and what each is worth."""
        each = [(form, weight(word.count, self.sampled)) for word in self.words for form in word.forms][:MOST_FORMS]
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
