"""Texts to sentences, and what a sentence holds that must not get lost: names, numbers, dates, ids; what kind it is.

What a sentence is about (a decision, a preference) is recognised by English words; the rest works in any language.
"""

import re
from collections.abc import Iterator
from enum import IntEnum

from services.sessions.tokens import estimated_tokens

LONG_TOKENS = 60
"""A longer sentence is parted where it breathes; its parts say by "…" that there is more."""

LONG_CHARS = 400
"""What looks like an abbreviation does not keep a longer text together."""
LONGEST_ABBREVIATION = 8


class Kind(IntEnum):
    """What a sentence is, in the order in which an extract shows them."""

    DECISION = 0
    OPEN = 1
    PREFERENCE = 2
    TOOL = 3
    OTHER = 4


_ENDS = re.compile(r"(?<=[.!?…])[\"')\]]*\s+|\n+|(?<=[。！？])")
_NO_END = re.compile(r"(?:^|[\s(])(?:e\.g|i\.e|vs|approx|no|nr|dr|mr|mrs|ms|st|prof|[A-Z])\.$", re.IGNORECASE)
_BREATHS = re.compile(r"(?<=[,;:–—，、；：])\s*|\s+(?=(?:and|but|because|so|which|or|und|aber|weil)\s)")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")

_PIECE = re.compile(r"[^\s=();\"'\[\]{}]+")
_EXACT = re.compile(r"[0-9]|.@.|://")
"""What makes a piece exact: numbers, dates, times, amounts, ids, versions, addresses."""
_MONTHS = re.compile(
    r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\btomorrow\b|\byesterday\b|\b(?:january|february|march|april|june|"
    r"july|august|september|october|november|december)\b",
    re.IGNORECASE,
)
_CAPITALISED = re.compile(r"(?<![\w.])(?:[A-ZÄÖÜÀ-Þ][\w'’-]*|[a-z]+[A-Z]\w*)(?:\s+[A-ZÄÖÜÀ-Þ][\w'’-]*)*")
_NO_NAMES = frozenset(
    re.findall(
        r"\S+",
        """
        i i'm i'll i've i'd a an the this that these those it its he she we you they my our your his her their what
        which who when where why how yes no ok okay hi hello thanks thank please sure great good and or but so if then
        also not is are was were do does did can could will would should let let's there here in on at for to from of
        with by as one two three all any some every after before now just maybe perhaps actually sorry right well got
        done
        """,
    )
)


def _any_of(*phrases: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(phrases)})\b", re.IGNORECASE)


_DECISION = _any_of(
    r"decid\w*|decision|agreed?|go(?:ing)? with|went with|chose\w*|choose|settled|finali[sz]ed|signed? off",
    r"approved?|confirm(?:ed)?|resolved to|reject(?:ed)?|cancel(?:led|ed)?|deadline|due (?:on|by)|must be|from now on",
    r"let'?s (?:go|use|take|do|keep|make|book|move)",
    r"(?:we|i)(?:'ll| will) (?:use|take|go|keep|move|switch|ship|launch|book|start|drop|migrate)",
)
_PREFERENCE = _any_of(
    r"prefer\w*|favou?rite|i (?:really )?(?:like|love|hate|dislike|want|don't (?:like|want)|always|never|can't|avoid)",
    r"my name|call me|please (?:always|never|don't|do not)|allergic|vegetarian|vegan",
    r"i(?:'m| am) (?:a|an|based|from|in)|i (?:live|work|speak)",
)
_OPEN = _any_of(
    r"open (?:question|issue|point)|still (?:need|have|to|open|unclear|waiting)|tbd|remains? open|to ?do",
    r"to be (?:decided|confirmed|determined|clarified)|not (?:yet )?(?:decided|known|answered|clear)|unclear|pending",
    r"waiting (?:for|on)|blocked|follow[- ]?up|get back to you",
    r"(?:need|have) to (?:find out|check|ask|decide|clarify)",
)
_NO_ANSWER = _any_of(
    r"(?:don't|do not) know|not sure|(?:can't|cannot) (?:say|tell|answer)|no (?:idea|answer|information)|unclear",
    r"(?:couldn't|could not) find|get back to you|(?:have|need) to check|remains? open",
)


def sentences(text: str) -> Iterator[str]:
    """None is empty, none longer than about LONG_TOKENS."""
    waiting = ""
    for part in _ENDS.split(text):
        waiting = " ".join([waiting, *part.split()]).strip()
        if len(waiting) > LONG_CHARS or not _NO_END.search(waiting[-LONGEST_ABBREVIATION:]):
            yield from _parted(_BULLET.sub("", waiting))
            waiting = ""
    if waiting:
        yield from _parted(waiting)


def facts(sentence: str) -> dict[str, float]:
    """What of it cannot be guessed again, with a weight: exact things weigh more than names."""
    pieces = (each.strip(".,:;!?/-…") for each in _PIECE.findall(sentence))
    found = {each.lower(): 2.0 for each in pieces if _EXACT.search(each)}
    found.update((each.lower(), 2.0) for each in _MONTHS.findall(sentence))
    for match in _CAPITALISED.finditer(sentence):
        words = [word for word in match[0].split() if word.lower() not in _NO_NAMES]
        begins = match.start() == 0 and len(words) == len(match[0].split()) == 1
        name = " ".join(words).lower()
        if name and name not in found and not (begins and name.isalpha() and not match[0].isupper()):
            found[name] = 1.5
    return {fact: weight for fact, weight in found.items() if fact}


def kind_of(sentence: str) -> Kind:
    if _OPEN.search(sentence):
        return Kind.OPEN
    if is_question(sentence):
        return Kind.OTHER
    if _DECISION.search(sentence):
        return Kind.DECISION
    return Kind.PREFERENCE if _PREFERENCE.search(sentence) else Kind.OTHER


def is_question(sentence: str) -> bool:
    return sentence.rstrip("\"')] ").endswith(("?", "？"))


def gives_no_answer(text: str) -> bool:
    return bool(_NO_ANSWER.search(text))


def _parted(sentence: str) -> Iterator[str]:
    if not sentence:
        return
    if estimated_tokens(sentence) <= LONG_TOKENS:
        yield sentence
        return
    parts = list(_joined(_BREATHS.split(sentence)))
    for number, part in enumerate(parts):
        yield ("… " if number else "") + part + (" …" if number + 1 < len(parts) else "")


def _joined(pieces: list[str]) -> Iterator[str]:
    """Pieces that breathe, as long as they may be; one that is too long by itself is parted between words."""
    line = ""
    for piece in (each for long in pieces for each in _between_words(long)):
        if line and estimated_tokens(f"{line} {piece}") > LONG_TOKENS - 4:
            yield line
            line = ""
        line = f"{line} {piece}".strip()
    if line:
        yield line


def _between_words(piece: str) -> Iterator[str]:
    if estimated_tokens(piece) <= LONG_TOKENS - 4:
        yield piece
        return
    words = piece.split(" ")
    if len(words) == 1:  # no spaces to part it at
        size = max(1, len(piece) * (LONG_TOKENS - 8) // estimated_tokens(piece))
        yield from (piece[at : at + size] for at in range(0, len(piece), size))
        return
    half = len(words) // 2
    yield from _between_words(" ".join(words[:half]))
    yield from _between_words(" ".join(words[half:]))
