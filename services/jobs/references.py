"""``{{ steps.fetch.reply }}`` and ``{{ input.month }}``: how a step names what came before it.

A reference is a path through JSON, nothing else: nothing is evaluated, and what is put in is not looked at again.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

_REFERENCE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_ROOTS = ("steps", "input")
LONGEST_TEXT = 1_000_000
"""Characters of a text after everything is put in; the longest message that there is."""


class BadReference(Exception):
    """A reference leads nowhere. The message names it."""


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
        found = _follow(match[1], scope)
        text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
        if text and not text.strip("."):
            raise BadReference(f"{{{{ {match[1]} }}}} is {text!r}, which means another folder in an address")
        return quote(text, safe="")

    return _REFERENCE.sub(stand, url)


def named_steps(value: Any) -> Iterator[str]:
    """The names of the steps that a value refers to. Raises BadReference when a reference is no path at all."""
    if isinstance(value, str):
        for match in _REFERENCE.finditer(value):
            root, *path = _parts(match[1])
            if root == "steps":
                yield path[0]
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from named_steps(child)


def _fill_text(text: str, scope: Mapping[str, Any]) -> Any:
    whole = _REFERENCE.fullmatch(text.strip())
    if whole:
        return _follow(whole[1], scope)

    def stand(match: re.Match[str]) -> str:
        found = _follow(match[1], scope)
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    filled = _REFERENCE.sub(stand, text)
    if len(filled) > LONGEST_TEXT:
        raise BadReference(f"with its references filled in, a text has more than {LONGEST_TEXT} characters")
    return filled


def _follow(path: str, scope: Mapping[str, Any]) -> Any:
    found: Any = scope
    for part in _parts(path):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isascii() and part.isdigit() and int(part[:9]) < len(found):
            found = found[int(part[:9])]
        else:
            raise BadReference(f"{{{{ {path} }}}} leads nowhere: there is no {part!r}")
    return found


def _parts(path: str) -> list[str]:
    parts = path.split(".")
    if parts[0] not in _ROOTS or (parts[0] == "steps" and len(parts) < 2) or not all(parts):
        raise BadReference(f"{{{{ {path} }}}} is not a reference: write steps.<name>.<path> or input.<path>")
    return parts
