"""English by a few rules: what the store in this process has in place of Postgres' dictionaries.

The first step of Porter's algorithm and its last "e" (https://tartarus.org/martin/PorterStemmer/def.txt): it agrees
with Postgres on plurals and on regular verbs, not on every word.
"""

import re

_COMMON = """
    a about an and are as at be been but by did do does for from had has have he her his how i if in into is it its me
    my no not of on or our she so than that the their them then there they this to was we were what when where which
    who why will with you your
"""
COMMON = frozenset(_COMMON.split())
_VOWEL = re.compile(r"[aeiouy]")
_PLURALS = (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("us", "us"), ("s", ""))


def base_form(word: str) -> str | None:
    """None for the commonest words, and for what is no word."""
    if word in COMMON or not word.isalnum():
        return None
    if len(word) < 3 or not word.isascii():
        return word
    word = _without_verb_ending(_without_plural(word))
    if word.endswith("y") and _VOWEL.search(word[:-2]):
        word = word[:-1] + ("y" if _VOWEL.match(word[-2]) else "i")
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def _without_plural(word: str) -> str:
    for ending, instead in _PLURALS:
        if word.endswith(ending):
            return word.removesuffix(ending) + instead
    return word


def _without_verb_ending(word: str) -> str:
    for ending in ("ed", "ing"):
        rest = word.removesuffix(ending)
        if rest != word and _VOWEL.search(rest) and not rest.endswith("e"):
            doubled = len(rest) > 2 and rest[-1] == rest[-2] and rest[-1] not in "lsz"
            return rest[:-1] if doubled else rest
    return word
