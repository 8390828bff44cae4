"""Whether a message makes sense only after something was said before. English; words alone, no state, no model."""

import re
from dataclasses import dataclass

READ_CHARS = 500
"""Of a message; what is longer than that stands on its own."""
SHORT_WORDS = 8
"""A phrase that begins like a fragment is one only while it is short."""

_WORD = re.compile(r"[a-z0-9]+(?:['’-][a-z0-9]+)*|#\d+")
_OPENING = re.compile(
    r"^(and|also|but|or|then|so|now|instead|again|ok(ay)?|yes|yeah|yep|no|nope|sure|right|please do|go ahead|same|"
    r"what about|how about|what else|anything else|what if)\b"
)
_FRAGMENT = re.compile(
    r"^(for|in|on|at|by|from|since|until|till|with|without|within|between|before|after|during|only|just|except|"
    r"sorted|grouped|as a|last|next|previous|this)\b"
)
_ORDINAL = re.compile(
    r"\b(the )?((1st|first|2nd|second|3rd|third|4th|fourth|5th|fifth|last|latest|other|next|previous|same|top) ones?|"
    r"(number|no\.?|item|row|option) ?\d+|#\d+|both( of them)?|(all|each|any|one) of (them|these|those)|"
    r"the (first|second|third|fourth|fifth|last|former|latter)(?= ?$| (and|please|in detail|instead)\b))"
)
_ONES = re.compile(r"\b(the|only|just|which|any|those|these) (\w+ )?ones?\b")
_POINTING = re.compile(
    r"\b(it|its|them|their|they|those|these|that|this|he|she|him|her|his)\b(?! (is|was|s) (a|an|all|it)\b)"
)
_NOT_POINTING = re.compile(  # "this month", "that I have": words that look back only in form
    r"\b(this|that) (time|week|month|year|quarter|morning|afternoon|evening|weekend|day|hour|"
    r"i|we|you|is|are|was|were|have|has|had|can|could|will|would|should|may|might|costs?|cost|need|needs)\b"
    r"|\bit (is|was|possible|take|takes|cost|costs|rain|rains|raining|snow|snowing|department|support)\b"
    r"|\bis it (possible|raining|snowing|going to|true)\b"
    r"|\b(show|tell|give|get|bring|let|help) (him|her|them)\b"
)
_BARE = frozenset(
    """
    1st 2nd 3rd 4th 5th a about again ago all an and any anything apr april as at aug august back before both
    but by can clarify continue could day days dec december detail detailed details do elaborate else even every
    everything expand explain feb february fifth first for former fourth friday from full further give go had
    has have he her here him his hour hours how i if in info information instead into is it item its jan january
    jul july jun june just keep last latest latter list longer look many mar march may me monday month months
    more much my next no nope nov november now number oct october of ok okay on one ones only option or
    other out over page please previous quarter quarters really remaining repeat rest right row same saturday
    second see sep sept september she show since so still summarise summarize sunday sure tell than thank thanks
    that the their them then there these they third this those thursday to today tomorrow too top tuesday until
    up us view was we wednesday week weeks were what when where which who why will with without would yeah year
    years yep yes yesterday you your
    """.split()  # noqa: SIM905 - a hundred quoted words would hide the words
)
_DETAILS = re.compile(r"\b(details?|more|further|elaborate|expand|explain|why|continue|go on|look into|full)\b")
_THANKS = re.compile(r"^(many )?(thanks?|thank you|thx|cheers|great|perfect|cool|good|nice)\b")


@dataclass(frozen=True)
class FollowUp:
    """Why a message reads as a follow-up."""

    sign: str
    """In words that complete "the message …"."""
    bare: bool
    """True when it says nothing by itself: without what was said before, no agent could fit it."""


def read_follow_up(message: str) -> FollowUp | None:
    """None when the message stands on its own."""
    if len(message) > READ_CHARS:
        return None
    if any(character.islower() for character in message):
        message = re.sub(r"\bIT\b", "computers", message)  # the department, not the pronoun
    text = " ".join(message.lower().replace("’", "'").split()).strip(" ?!.,;:…")
    words = _WORD.findall(text)
    if not words:
        return None
    bare = all(word in _BARE or word.lstrip("#").isdigit() or _is_date(word) for word in words)
    sign = _sign(text, words, bare)
    return FollowUp(sign, bare) if sign else None


def _sign(text: str, words: list[str], bare: bool) -> str | None:
    opening = _OPENING.match(text)
    if opening:
        return f"begins with “{opening[0]}”"
    ordinal = _ORDINAL.search(text) or _ONES.search(text)
    if ordinal:
        return f"points at something shown before with “{ordinal[0].strip()}”"
    pointing = _POINTING.search(_NOT_POINTING.sub(" ", text))
    if pointing:
        return f"points back with “{pointing[0]}”"
    if _THANKS.match(text) and len(words) <= 4:
        return "is a thank-you"
    if bare:
        details = _DETAILS.search(text)
        return f"asks on with “{details[0]}”" if details else "names no subject of its own"
    if len(words) <= SHORT_WORDS and (fragment := _FRAGMENT.match(text)):
        return f"is only a part of a sentence, beginning with “{fragment[0]}”"
    if len(words) == 1 and any(character.isdigit() for character in words[0]):
        return "is nothing but an identifier"
    return None


def _is_date(word: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d(-\d\d)?", word) is not None
