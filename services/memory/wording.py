"""How texts are read: when two are the same, and which words one has. Knows neither stores nor embedders."""

import hashlib
import re
import unicodedata
from itertools import pairwise

MAX_WORD_LENGTH = 64
MAX_WORD_BYTES = 400_000
"""Of one text's distinct words together: Postgres takes a megabyte of them, base forms included."""

# Chinese, Japanese and Thai are written without spaces: their runs are read as characters and pairs of characters.
_UNSPACED = re.compile(r"([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+)")


class _Readable(dict[int, str]):
    """For str.translate: letters, marks and digits stay, a pictogram is a word of its own, the rest is space."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if 0xFE00 <= code <= 0xFE0F:  # variation selectors say how a pictogram looks, not which one it is
            readable = ""
        elif category[0] in "LNM":
            readable = character
        else:
            readable = f" {character} " if category == "So" else " "
        if len(self) < 20_000:  # a text of every character there is must not stay in memory
            self[code] = readable
        return readable


_readable = _Readable()


def normalised(text: str) -> str:
    """Compatibility forms, case and white space do not make a text another one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def digest(text: str) -> bytes:
    """32 bytes that are equal for equal normalised texts."""
    return hashlib.blake2b(normalised(text).encode(errors="surrogatepass"), digest_size=32).digest()


def words(text: str) -> list[str]:
    """Every word in order, as often as it stands there. No word holds white space or punctuation."""
    found: list[str] = []
    for run in unicodedata.normalize("NFKC", text).casefold().translate(_readable).split():
        for part in _UNSPACED.split(run):
            if _UNSPACED.match(part):
                found.extend(part)
                found.extend(map("".join, pairwise(part)))
            elif part:
                found.append(part[:MAX_WORD_LENGTH])
    return found


def distinct_words(text: str) -> tuple[str, ...]:
    """Each word once, by first appearance; what is over MAX_WORD_BYTES is left out."""
    kept, size = [], 0
    for word in dict.fromkeys(words(text)):
        size += len(word.encode())
        if size > MAX_WORD_BYTES:
            break
        kept.append(word)
    return tuple(kept)
