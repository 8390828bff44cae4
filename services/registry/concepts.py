"""What the index counts of a text: stems, and the concepts (groups of synonyms) that stems belong to.

A concept is written `~` and the stem of its group's first word; no stem begins with `~`.
"""

from collections import defaultdict

from services.registry.lexicon import FUNCTION_WORDS, SYNONYMS
from services.registry.text import stem, words


def _concepts_by_stem() -> dict[str, tuple[str, ...]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for group in SYNONYMS:
        concept = "~" + stem(group[0])
        for word in group:
            if concept not in found[stem(word)]:
                found[stem(word)].append(concept)
    return {word: tuple(concepts) for word, concepts in found.items()}


CONCEPTS = _concepts_by_stem()
FUNCTION_STEMS = frozenset(map(stem, FUNCTION_WORDS))
FUNCTION_TERMS = FUNCTION_STEMS | {concept for word in FUNCTION_STEMS for concept in CONCEPTS.get(word, ())[:1]}


def stems(text: str) -> list[str]:
    return [stem(word) for word in words(text)]


def concepts(word: str) -> tuple[str, ...]:
    """Every concept of a stem, its main sense first; none for most words."""
    return CONCEPTS.get(word, ())


def main_senses(stemmed: list[str]) -> tuple[str, ...]:
    """Each stem's main concept, or the stem itself."""
    return tuple(CONCEPTS[word][0] if word in CONCEPTS else word for word in stemmed)
