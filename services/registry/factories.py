"""Which agents can be built here: reads the sources under the allowed prefixes. Imports and runs none of them."""

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

from bureau_contracts.registry import Factory

MAX_MODULES = 500
"""Modules read under one prefix."""


def list_factories(prefixes: Sequence[str]) -> list[Factory]:
    """Public functions that look like factories: their name or what they return ends with "agent".

    Reads files, so call it from a thread. A file that is not Python has none.
    """
    return [
        factory
        for prefix in prefixes
        for module, path in _modules(prefix.strip("."))
        for factory in _factories(module, path)
    ]


def _modules(prefix: str) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of the module that a prefix names and of all below it."""
    root, *rest = prefix.split(".")
    try:
        spec = importlib.util.find_spec(root) if root else None
    except (ImportError, ValueError):
        spec = None
    for location in (spec.submodule_search_locations or ()) if spec else ():
        top = Path(location)
        place = top.joinpath(*rest)
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        for path in files[:MAX_MODULES]:
            parts = path.relative_to(top).with_suffix("").parts
            yield ".".join((root, *(part for part in parts if part != "__init__"))), path


def _factories(module: str, path: Path) -> Iterator[Factory]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and _makes_an_agent(node):
            arguments = node.args
            yield Factory(
                factory_module=module,
                factory_function=node.name,
                parameters=[each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)],
                description=(ast.get_docstring(node) or "").partition("\n")[0],
            )


def _makes_an_agent(function: ast.FunctionDef) -> bool:
    returned = ast.unparse(function.returns).strip("'\"").lower() if function.returns else ""
    public = not function.name.startswith("_")
    return public and (function.name.lower().endswith("agent") or returned.endswith("agent"))
