"""From text to words: normalising, splitting, stemming, character n-grams. Knows nothing of agents or weights.

Safe for any script and for hostile input: work is bounded by MAX_CHARS, whatever arrives.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from services.registry.lexicon import CONTRACTIONS, IRREGULAR

MAX_CHARS = 2_000  # of one text; what follows is not read: an utterance that long says nothing new
MAX_WORD = 40  # characters of one word; longer runs are keys and hashes, not language
UNSPACED = re.compile(  # scripts written without spaces (and Hangul, whose particles cling to words)
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]+)"
)
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_VOWEL = re.compile("[aeiouy]")


def split_identifier(name: str) -> str:
    """`OrderStatusAgent`, `order_status-agent` → words with spaces between them."""
    return re.sub(r"[_\-./:]+", " ", _CAMEL.sub(" ", name[:MAX_CHARS]))


def words(text: str) -> list[str]:
    """The words of a text in order, casefolded, contractions written out, not stemmed.

    Scripts without spaces give overlapping pairs of characters instead of words.
    """
    folded = text[:MAX_CHARS]
    if not folded.isascii():  # NFKC leaves ASCII as it is
        folded = unicodedata.normalize("NFKC", folded)[:MAX_CHARS]
    folded = folded.casefold().replace("’", "'")
    raw = _ASCII_WORD.findall(folded) if folded.isascii() else list(_unicode_words(folded))
    found: list[str] = []
    for word in raw:
        written_out = CONTRACTIONS.get(word)
        if written_out:
            found.extend(written_out)
        else:
            found.append(word.partition("'")[0][:MAX_WORD])
    return [word for word in found if word]


@lru_cache(maxsize=16_384)  # words come again and again; also, equal stems are then one string in memory
def stem(word: str) -> str:
    """A light English stem: irregular forms, plural, -ing, -ed, -ly, final e/y. Other scripts pass unchanged."""
    regular = IRREGULAR.get(word)
    if regular:
        return regular
    if len(word) <= 3 or not word.isascii():
        return word
    word = _singular(word)
    for suffix in ("ing", "ed", "ly"):
        root = word.removesuffix(suffix)
        if root != word and len(root) >= 3 and _VOWEL.search(root):
            word = root[:-1] if root[-1] == root[-2] and root[-1] not in "lsz" else root
            break
    if len(word) > 3 and word[-1] == "e":
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word[-1] == "y" else word


def grams(word: str) -> set[str]:
    """Character 3- and 4-grams of a word with its edges marked: how a misspelt word finds its neighbour."""
    marked = f"<{word}>"
    return {marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1)}


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _unicode_words(text: str) -> Iterator[str]:
    # str.isalnum leaves out combining marks, without which Devanagari and Thai fall apart: keep category M.
    kept = "".join(c if c.isalnum() or c == "'" or unicodedata.category(c)[0] == "M" else " " for c in text)
    for chunk in kept.split():
        for run in UNSPACED.split(chunk):
            if not run:
                continue
            if UNSPACED.match(run):
                yield from (run[i : i + 2] for i in range(max(1, len(run) - 1)))
            else:
                yield run.strip("'")
