"""Memories from what people say, by patterns of English: needs no model, misses much, makes little up."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from bureau_contracts.memory import Memory, MemoryKind, Origin
from services.memory.extractor import Finding, Said, is_instructive
from services.memory.wording import normalised

READ_CHARACTERS = 4_000
"""Of one message: what is longer is a document, not something said."""
MAX_VALUE = 300

_CODE = re.compile(r"```.*?(```|\Z)|`[^`\n]*`", re.DOTALL)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|(?<!\w)'[^'\n]{3,}'(?!\w)")
_WISH = r"(?:please\s+)?(?:remember|note|keep in mind|don[’']t forget)"
# Behind "summarise this:" stands somebody else's text; behind "remember this:" the user's own.
_MATERIAL = re.compile(rf"^(?!\s*{_WISH})[^\n]*:[ \t]*\n.*\Z", re.DOTALL | re.MULTILINE | re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bSt\.)(?<=[.!?…])\s+|\n+|;\s+")
_CLAUSE = re.compile(
    r",?\s+(?:and|but)\s+(?=(?:I|I['’]m|my|we|we['’]ve|call me|let['’]s|the deadline)\b)", re.IGNORECASE
)
_OPENING = re.compile(
    r"^(?:(?:hi|hello|hey|well|so|oh|ok|okay|yes|no|also|and|but|btw|by the way|actually|just|please|"
    r"fyi|for the record|just so you know|from now on|sorry|thanks|thank you)\b"
    r"(?:\s+(?:there|all|everyone|bureau))?[\s,:!.–-]+)+",
    re.IGNORECASE,
)
_GREETING = re.compile(r"^(?:hi|hello|hey)\b", re.IGNORECASE)
_ASKED = re.compile(rf"^{_WISH}(?:\s+(?:that|this)\b)?\s*[:,]?\s+(?!to\b|me\b|when\b|how\b|what\b)", re.IGNORECASE)
_QUESTION = re.compile(
    r"\?\s*$|^(?:what|who|whom|whose|which|how|why|where|when|do|does|did|is|are|was|were|am|can|could|would|should|"
    r"will|may|might|shall|has|have)\b",
    re.IGNORECASE,
)
_NOT_MEANT = re.compile(
    r"\b(?:if|suppose|supposing|imagine|pretend|hypothetically|assum(?:e|ing)|let[’']s say|as though|would|could|might|"
    r"maybe|perhaps|wish|for example|e\.g|not sure|joking|kidding|says?|said|told|tells?|writes?|wrote|asks|asked|"
    r"claims?|claimed|used to)\b|\bI[’']d\b",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}|\b(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\b|"
    r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b(?:to(?:day|night|morrow)|noon|midnight|week|month|quarter|year)\b",
    re.IGNORECASE,
)
_RELATIVE = re.compile(
    r"\b(?:to(?:day|night|morrow)|yesterday|(?:this|next|last) \w+|in \w+ (?:days?|weeks?|months?)|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b",
    re.IGNORECASE,
)
_NO_TOPIC = re.compile(
    r"\b(?:question|problem|point|guess|issue|concern|understanding|bad|apolog\w+|turn|fault|mistake|opinion|idea|thought|"
    r"error|bug|request|task|code|query|message|answer|input)s?$",
    re.IGNORECASE,
)
_PASSING = re.compile(
    r"^(?:not|no longer|never|n[’']t|broken|late|wrong|down|slow|fine|ok|okay|ready|done|sorry|tired|stuck|lost|"
    r"missing|here|there|full|empty|sick|gone|that|this|it|so|very|too|to|about|how|why|what|\w+ing)\b",
    re.IGNORECASE,
)
_POINTING = re.compile(
    r"^(?:this|that|it|these|those|you|your|the way|how|what|to (?:know|think|see|ask))\b", re.IGNORECASE
)
_NOT_NAMES = {
    "french", "german", "italian", "spanish", "dutch", "english", "chinese", "japanese", "american", "british",
    "indian", "irish", "swiss", "sorry", "glad", "happy", "not", "just", "fine", "good", "ok", "okay", "back", "here",
    "new", "sure", "afraid", "trying", "looking", "vegan", "vegetarian",
}  # fmt: skip
_PRONOUNS = {
    "i": "they", "i'm": "they are", "i’m": "they are", "i've": "they have", "i’ve": "they have", "my": "their",
    "me": "them", "mine": "theirs", "myself": "themselves", "am": "are",
}  # fmt: skip
_PRONOUN = re.compile(
    r"\b(?:" + "|".join(sorted(map(re.escape, _PRONOUNS), key=len, reverse=True)) + r")\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Clause:
    text: str
    greeted: bool
    """Whether it came behind a greeting: "Hi, I'm Ann" is a name where "I'm Ann" may be anything."""


Found = tuple[str, str, MemoryKind, float]
"""Text, what it is about, kind, importance."""
Reading = Callable[[_Clause], Found | None]


class RulesExtractor:
    name = "rules"

    async def extract(self, said: Sequence[Said], known: Sequence[Memory]) -> list[Finding]:
        return [finding for each in said for finding in _findings(each)]


def _findings(said: Said) -> Iterator[Finding]:
    by_user = said.origin is Origin.USER
    for clause in _clauses(said.text[:READ_CHARACTERS]):
        asked = _ASKED.match(clause.text)
        rest = _Clause(_OPENING.sub("", clause.text[asked.end() :]), clause.greeted) if asked else clause
        if _QUESTION.search(rest.text) or _NOT_MEANT.search(rest.text):
            continue
        if not by_user and (asked or is_instructive(clause.text)):
            continue
        # What is no user says "I" and "my" of somebody else.
        found = next(filter(None, (read(rest) for read in (_USERS if by_user else _ANYBODYS))), None)
        if found is None and asked and len(rest.text.split()) > 1:
            found = f"The user wants remembered: {_as_they(_value(rest.text))}", "", MemoryKind.FACT, 0.8
        if found is not None:
            text, about, kind, importance = found
            dated = _dated(text, said.at)
            yield Finding(f"{dated}.", (said.seq,), kind, max(importance, 0.8) if asked else importance, about)


def _clauses(text: str) -> Iterator[_Clause]:
    for pattern in (_CODE, _QUOTED):
        text = pattern.sub(" … ", text)
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith((">", "|", "#")))
    text = _MATERIAL.sub("", text)
    for sentence in _SENTENCE_END.split(text):
        if "…" in sentence:  # something was cut out of it
            continue
        greeted = _GREETING.match(sentence.strip()) is not None
        if sentence.rstrip().endswith("?"):
            continue
        for clause in _CLAUSE.split(sentence.strip()):
            short = _OPENING.sub("", clause).strip()
            if short:
                yield _Clause(short, greeted)


def _name(clause: _Clause) -> Found | None:
    text = clause.text
    match = re.match(
        r"(?:my (?:full |first |real )?name(?: is|[’']s)|I go by|I(?: am|[’']m) called)\s+(.+)", text, re.I
    )
    introduced = match is None
    if match is None:
        match = re.match(r"(?:you can |just )?(?:call me)\s+(.+)", text, re.I)
    if match is None and (clause.greeted or re.match(r"I(?:[’']m| am) \w+,? (?:from|your|the)\b", text)):
        match = re.match(r"I(?: am|[’']m)\s+(.+)", text)
    words = re.split(r"[,(;:!?–]|\s(?:and|from|by|but|the|your|now|please)\b", match[1])[0].split() if match else []
    name = " ".join(words).strip(" .")
    if not name or len(words) > 4 or not all(re.match(r"[^\W\d_]", word) for word in words):
        return None
    if words[0].lower() in _NOT_NAMES or (introduced and not all(word[0].isupper() for word in words)):
        return None
    return f"The user's name is {name}", "name", MemoryKind.FACT, 0.9


def _deadline(clause: _Clause) -> Found | None:
    match = re.match(
        r"(?:the |our |my )?(?:new )?(?:deadline|due date)(?: (?:for|of) (?P<what>.{2,80}?))? (?:is now|is|has moved "
        r"to|was moved to|moved to|has changed to|changed to) (?P<when>.+)",
        clause.text, re.I,
    )  # fmt: skip
    match = match or re.match(
        r"(?P<what>.{2,80}?) (?:is|are) (?:now )?due (?:on |by |at )?(?P<when>.+)", clause.text, re.I
    )
    if match is None or not _DATE.search(match["when"]) or _PASSING.match(match["when"]):
        return None
    what = re.sub(r"^(?:the|our|my) ", "", match["what"] or "", flags=re.I)
    of = f" of {what}" if what else ""
    return f"The deadline{of} is {_value(match['when'])}", f"deadline: {normalised(what)}", MemoryKind.FACT, 0.7


def _decision(clause: _Clause) -> Found | None:
    match = re.match(
        r"(?:(?:we|I)(?:[’']ve| have| all)? (?:decided|agreed|settled|chose)(?: on| to| that)?|let[’']s (?P<go>go with|"
        r"stick with|settle on)|(?:the|our) decision is(?: to| that)?)\s+(?P<what>.{3,})",
        clause.text, re.I,
    )  # fmt: skip
    if match is None or re.match(r"(?:not sure|nothing)\b", match["what"], re.I):
        return None
    return (
        f"Decided: {(match['go'] or '').lower()} {_value(match['what'])}".replace(":  ", ": "),
        "",
        MemoryKind.FACT,
        0.7,
    )


def _possession(clause: _Clause) -> Found | None:
    match = re.match(r"my (?P<what>[\w'’ -]{2,60}?) (?P<be>is|are)(?: now)? (?P<value>.+)", clause.text, re.I)
    if match is None or _NO_TOPIC.search(match["what"]) or _PASSING.match(match["value"]):
        return None
    what = match["what"].replace("’", "'")
    kind = MemoryKind.PREFERENCE if re.match(r"(?:favou?rite|preferred)\b", what, re.I) else MemoryKind.FACT
    value = _as_they(_value(match["value"]))
    return (
        f"The user's {what} {match['be'].lower()} {value}",
        normalised(what).replace("favorite", "favourite"),
        kind,
        0.6,
    )


def _circumstance(clause: _Clause) -> Found | None:
    text = clause.text
    home = re.match(
        r"I (?:now |just |recently )*(?:live in|moved to|am based in)\s+(.+)|I[’']m based in\s+(.+)", text, re.I
    )
    if home is not None:
        return f"The user lives in {_value(home[1] or home[2])}", "home", MemoryKind.FACT, 0.7
    work = re.match(
        r"I (?:now |just |recently )*(?:work (?P<how>at|for|as)|started at|joined)\s+(?P<where>.+)", text, re.I
    )
    if work is not None:
        how = (work["how"] or "at").lower()
        about = "occupation" if how == "as" else "employer"
        return f"The user works {how} {_as_they(_value(work['where']))}", about, MemoryKind.FACT, 0.7
    being = re.match(
        r"I(?: am|[’']m) (?P<what>(?:an? |allergic to |from |vegan|vegetarian|diabetic|left-handed|colou?r-?blind|"
        r"married).*|\d{1,3} years old)",
        text, re.I,
    )  # fmt: skip
    if being is None or re.match(r"a (?:bit|little|lot|few)\b", being["what"], re.I):
        return None
    about = "age" if being["what"][0].isdigit() else ""
    return f"The user is {_as_they(_value(being['what']))}", about, MemoryKind.FACT, 0.7


def _preference(clause: _Clause) -> Found | None:
    much = r"(?:really |absolutely |strongly |usually |generally |still |also )*"
    taste = re.match(
        rf"I {much}(?:(?P<no>do not|don[’']t|no longer) {much})?(?P<verb>prefer|like|love|enjoy|hate|dislike|loathe|"
        r"can[’']t stand)\s+(?P<what>.{2,})",
        clause.text, re.I,
    )  # fmt: skip
    if taste is not None and not _POINTING.match(taste["what"]):
        what = _value(re.sub(r"\s+(?:any ?more|now|these days)\b", "", taste["what"], flags=re.I))
        no = f"{taste['no'].lower()} " if taste["no"] else ""
        purpose = re.search(r"\b(?:for|as my|in|when)\s+(.+)$", what) if taste["verb"].lower() == "prefer" else None
        about = f"preferred for {normalised(purpose[1])}" if purpose else f"taste: {normalised(what)}"
        said = _as_they(f"{no}{taste['verb'].lower()} {what}")
        return f"The user says they {said}", about, MemoryKind.PREFERENCE, 0.6
    habit = re.match(
        r"(?:I )?(?P<how>always|never)\s+(?P<what>.{3,})|I (?P<no>do not|don[’']t|no longer) (?P<rest>(?:eat|drink|use|"
        r"want|smoke|trust|work on|take)\s.{2,})",
        clause.text, re.I,
    )  # fmt: skip
    if habit is None or _POINTING.match(habit["what"] or ""):
        return None
    what = _value(habit["what"] or habit["rest"])
    how = (habit["how"] or habit["no"]).lower()
    wish = not clause.text.lower().startswith("i ")
    text = f"The user wants: {how} {_as_they(what)}" if wish else f"The user says they {how} {_as_they(what)}"
    return text, f"habit: {normalised(what)}", MemoryKind.PREFERENCE, 0.6


_USERS: tuple[Reading, ...] = (_name, _deadline, _decision, _possession, _circumstance, _preference)
_ANYBODYS: tuple[Reading, ...] = (_deadline,)


def _value(text: str) -> str:
    return text.strip(" .!,;:…")[:MAX_VALUE].strip()


def _as_they(text: str) -> str:
    """Of the user, as somebody else tells it."""
    return _PRONOUN.sub(lambda match: _PRONOUNS[match[0].lower()], text)


def _dated(text: str, at: datetime) -> str:
    """With the day it was said when the text means nothing without it: "tomorrow"."""
    return f"{text} (said on {at:%Y-%m-%d})" if _RELATIVE.search(text) else text
