"""``{{ steps.fetch.reply }}`` and ``{{ input.month }}``: how a step names what came before it.

A reference is a path through JSON, nothing else: nothing is evaluated, and what is put in is not looked at again.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bureau_contracts.plans import REFERENCE, BadReference, parts, references

__all__ = ["BadReference", "check_growth", "fill", "fill_url"]

LONGEST_TEXT = 1_000_000
"""Characters of a text after everything is put in; the longest message that there is."""
MOST_FILLED_IN = 8_000_000
"""Characters of JSON that all references of a step stand for. A short step can ask for gigabytes: a long input, named
often."""


def check_growth(value: Any, scope: Mapping[str, Any]) -> None:
    """To be called before filling in. Raises BadReference when it would be too much."""
    sizes: dict[str, int] = {}
    total = 0
    for each in references(value):
        path = ".".join(each)
        if path not in sizes:
            sizes[path] = len(json.dumps(_follow(path, scope), ensure_ascii=False))
        total += sizes[path]
        if total > MOST_FILLED_IN:
            raise BadReference(f"its references stand for more than {MOST_FILLED_IN} characters together")


def fill(value: Any, scope: Mapping[str, Any]) -> Any:
    """The value with every reference replaced. A text that is one reference takes on its value, whatever it is;
    within a longer text, texts stand as they are and everything else as JSON. Raises BadReference."""
    if isinstance(value, str):
        return _fill_text(value, scope)
    if isinstance(value, dict):
        return {key: fill(child, scope) for key, child in value.items()}
    if isinstance(value, list):
        return [fill(child, scope) for child in value]
    return value


def fill_url(url: str, scope: Mapping[str, Any]) -> str:
    """As `fill`, but what is put in is percent-encoded: it cannot become another host, segment or parameter.

    Raises BadReference also for dots alone.
    """

    def stand(match: re.Match[str]) -> str:
        path = match[1].strip()
        found = _follow(path, scope)
        text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
        if text and not text.strip("."):
            raise BadReference(f"{{{{ {path} }}}} is {text!r}, which means another folder in an address")
        return quote(text, safe="")

    return REFERENCE.sub(stand, url)


def _fill_text(text: str, scope: Mapping[str, Any]) -> Any:
    whole = REFERENCE.fullmatch(text.strip())
    if whole:
        return _follow(whole[1], scope)

    def stand(match: re.Match[str]) -> str:
        found = _follow(match[1], scope)
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    filled = REFERENCE.sub(stand, text)
    if len(filled) > LONGEST_TEXT:
        raise BadReference(f"with its references filled in, a text has more than {LONGEST_TEXT} characters")
    return filled


def _follow(path: str, scope: Mapping[str, Any]) -> Any:
    found: Any = scope
    path = path.strip()
    for part in parts(path):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isascii() and part.isdigit() and int(part[:9]) < len(found):
            found = found[int(part[:9])]
        else:
            raise BadReference(f"{{{{ {path} }}}} leads nowhere: there is no {part!r}")
    return found
