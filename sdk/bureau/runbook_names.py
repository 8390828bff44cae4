"""What the steps of a runbook may name: its parameters and earlier steps, and within a map the item.

Looks at what a file says as far as it can be read, also when it is no runbook, so that nobody has to mend it twice.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bureau.documents import Place
from bureau.runbook_parameters import ParameterType
from bureau_contracts.plans import REFERENCE, BadReference, references

REFERRING: tuple[tuple[str, ...], ...] = (
    ("message",),
    ("arguments",),
    ("request", "url"),
    ("request", "body"),
    ("map", "items"),
)
"""Where in a step references are filled in; `bureau_contracts.plans.referring` has the same."""
_ITEM = ("item", "item_index")
"""What the steps of a map have besides."""
_FREE = frozenset({"description", "input", "parameters", "steps"})
"""Fields of a runbook whose texts are nobody's references."""

Known = Mapping[str, str]
"""Names under `input`, each with its type; empty when only the run will know."""
Found = tuple[Place, str]


def misnamed(book: Any) -> Iterator[Found]:
    """Names that come twice, references that lead nowhere, and those that stand where none is filled in."""
    book = book if isinstance(book, dict) else {}
    known: dict[str, str] = {name: _type(value) for name, value in _object(book.get("input")).items()}
    seen = set[str]()
    for index, parameter in enumerate(_objects(book.get("parameters"))):
        name = _text(parameter.get("name"))
        if name in seen:
            yield ("parameters", index, "name"), "an earlier parameter has the same name"
        elif name in known:
            yield ("parameters", index, "name"), "is in `input` already"
        seen |= {name} - {""}
        declared = parameter.get("type", ParameterType.STRING)
        known.setdefault(name, declared if declared in list(ParameterType) else "")
    yield from _unfilled({field: value for field, value in book.items() if field not in _FREE}, ())
    yield from _in_steps(book.get("steps"), (), known)


def _in_steps(steps: Any, above: Place, known: Known) -> Iterator[Found]:
    """`above` is the place of whatever has the steps."""
    before = set[str]()
    for index, step in enumerate(_objects(steps)):
        place: Place = (*above, "steps", index)
        for part in REFERRING:
            for message in _astray(_at(step, part), known, before):
                yield (*place, *part), message
        yield from _unfilled(step, place)
        if isinstance(over := step.get("map"), dict):
            yield from _in_map(over, step, (*place, "map"), known)
        if (name := _text(step.get("name"))) in before:
            yield (*place, "name"), "an earlier step has the same name"
        before |= {name} - {""}


def _in_map(over: dict[str, Any], step: dict[str, Any], place: Place, known: Known) -> Iterator[Found]:
    whole = REFERENCE.fullmatch(_text(over.get("items")).strip())
    root, _, name = whole[1].strip().partition(".") if whole else ("", "", "")
    if root == "input" and known.get(name, "") not in ("", "list"):
        yield (*place, "items"), f"{name} is of type {known[name]}, not a list"
    arguments = _object(step.get("arguments"))
    for name in set(_ITEM) & set(arguments):
        yield (*place[:-1], "arguments", name), "the map puts it in itself"
    yield from _in_steps(over.get("steps"), place, {**known, **dict.fromkeys((*arguments, *_ITEM), "")})


def _astray(value: Any, known: Known, before: set[str]) -> list[str]:
    try:
        paths = list(references(value))
    except BadReference as error:
        return [str(error)]
    steps = sorted({path[1] for path in paths if path[0] == "steps"} - before)
    names = sorted({path[1] for path in paths if path[0] == "input" and len(path) > 1} - set(known))
    return [f"no earlier step is called {each!r}" for each in steps] + [
        f"no parameter is called {each!r}" + ("; only the steps of a map have it" if each in _ITEM else "")
        for each in names
    ]


def _unfilled(value: Any, place: Place, within: tuple[str, ...] = ()) -> Iterator[Found]:
    """Texts with references in fields where they stay as they are. `within` is the place in the step."""
    if within in REFERRING or within == ("map", "steps"):
        return
    if isinstance(value, str) and REFERENCE.search(value):
        yield place, "references are not filled in here"
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _unfilled(child, (*place, key), (*within, str(key)))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _unfilled(child, (*place, index), within)


def _at(value: Any, part: tuple[str, ...]) -> Any:
    for name in part:
        value = _object(value).get(name)
    return value


def _type(value: Any) -> str:
    return {list: "list", dict: "object", str: "string", bool: "boolean", int: "integer", float: "number"}.get(
        type(value), ""
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    """What can be read of a list of objects; the rest are empty ones, so that the others keep their numbers."""
    return [_object(each) for each in value] if isinstance(value, list) else []
