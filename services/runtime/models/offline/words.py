"""English words for matching: splitting, a light stem, what carries no meaning of its own."""

import re

READ_CHARS = 2_000
"""Of a message: what stands behind is not read. Bounds the work that one message can cause."""

ID = re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z][A-Za-z0-9]*(?:[-_][A-Za-z0-9]+)+(?![\w-])")
"""Something like ``T-1002`` or ``INV-2025-001``: letters first, a dash, a digit somewhere."""
QUOTED = re.compile(r"[\"“„«]([^\"“”„»]{1,1000})[\"”“»]|(?<!\w)'([^']{1,1000})'(?!\w)")

_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[^\W_]+(?:'[a-z]+)?")
_STOP = frozenset(
    """
    a about all am an and any are as at be been but by can could did do does for from get give got had has have how i
    i'd i'm if in into is it its just let like many me mine more most much my need of on one ones or our out please some
    tell than that the their them there these they this those to up us want was we were what what's when where which who
    whom whose why will with would you your yours am also then so here now really
    """.split()  # noqa: SIM905 - a hundred quoted words would hide the words
)
_TIME = frozenset(
    """
    today yesterday tomorrow day days week weeks month months quarter year years last next previous past current since
    until before after ago recent recently january february march april may june july august september october november
    december
    """.split()  # noqa: SIM905 - as above
)


def words(text: str) -> list[str]:
    return _WORD.findall(text[:READ_CHARS].lower().replace("’", "'"))


def stem(word: str) -> str:
    """Joins the forms of one word (ticket, tickets; enrol, enrolled, enrolling); no linguistics."""
    if len(word) <= 3 or not word.isascii():
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for suffix in ("ing", "ed"):
        root = word.removesuffix(suffix)
        if root != word and len(root) >= 3 and re.search("[aeiouy]", root):
            word = root[:-1] if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz" else root
            break
    else:
        word = word.removesuffix("e")
    return word[:-1] if word.endswith("ll") else word


def singular(word: str) -> str:
    """Joins number only: “closed” is a value, “close” is an order."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def terms(text: str) -> list[str]:
    """Stems of the words that carry meaning. Identifiers and quotations count as what they are, not by their text."""
    text = QUOTED.sub(" ", text[:READ_CHARS])
    text = ID.sub(" ", text)
    return [stem(word) for word in words(text) if word not in _STOP and word not in _TIME and not _DIGIT.search(word)]


def name_words(name: str) -> list[str]:
    """``list_openTickets`` → list, open, tickets."""
    return words(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " "))
