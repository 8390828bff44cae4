"""A folder of files, one record each, as the registry's document and back: so that a team keeps its agents in git.

A file lies in ``agents/``, ``tools/`` or ``prompts/``, or says what it holds with ``kind: agent``. Its ``name`` is in
it, or is the file's own. A prompt's file holds all of its ``versions``. Talks to nobody.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from bureau.documents import JsonLoader
from bureau_contracts.registry import Kind, RegistryDocument
from bureau_contracts.shapes import JsonObject

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
DOCUMENT_VERSION = "1.1.0"
_FOLDERS = {"agents": Kind.AGENT, "tools": Kind.TOOL, "prompts": Kind.PROMPT}


class BadFolder(Exception):
    """A file cannot be used; the message names it and says why."""


def read_folder(folder: Path) -> RegistryDocument:
    """Every record in the folder. Raises BadFolder."""
    found: dict[Kind, dict[str, JsonObject]] = {kind: {} for kind in Kind}
    for path in _files(folder):
        for record in _records(path):
            kind, name = _kind(path, folder, record), _name(path, record)
            if name in found[kind]:
                raise BadFolder(f"{path}: {kind} {name!r} is described twice")
            found[kind][name] = record
    if not any(found.values()):
        raise BadFolder(f"{folder}: no .yaml or .json file in it")
    document = {"version": DOCUMENT_VERSION, **{part: found[kind] for part, kind in _FOLDERS.items()}}
    try:
        return RegistryDocument.model_validate(document)
    except ValueError as error:
        raise BadFolder(f"{folder}: {error}") from error


def write_folder(document: RegistryDocument, folder: Path) -> list[Path]:
    """One YAML file per record, the same bytes for the same record; files of other names stay as they are."""
    written = []
    for part in _FOLDERS:
        records = cast(dict[str, JsonObject], getattr(document, part))
        for name, record in sorted(records.items()):
            path = folder / part / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_written({"name": name, **record}), encoding="utf-8")
            written.append(path)
    return written


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in SUFFIXES and path.is_file() and not hidden:
            yield path


def _records(path: Path) -> Iterator[JsonObject]:
    try:
        text = path.read_text(encoding="utf-8")
        documents = [json.loads(text)] if path.suffix == ".json" else list(yaml.load_all(text, JsonLoader))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadFolder(f"{path}: {error}") from error
    for record in documents:
        if record is None:
            continue  # an empty document between two markers
        if not isinstance(record, dict):
            raise BadFolder(f"{path}: a record is an object, not a {type(record).__name__}")
        yield record


def _kind(path: Path, folder: Path, record: JsonObject) -> Kind:
    said = record.pop("kind", None)
    if said is not None:
        try:
            return Kind(said)
        except ValueError:
            raise BadFolder(f"{path}: kind is one of {', '.join(Kind)}, not {said!r}") from None
    for part in reversed(path.relative_to(folder).parts[:-1]):
        if part in _FOLDERS:
            return _FOLDERS[part]
    raise BadFolder(f"{path}: it lies in none of {', '.join(_FOLDERS)}/ and has no kind")


def _name(path: Path, record: JsonObject) -> str:
    name = record.pop("name", path.stem)
    if not isinstance(name, str):
        raise BadFolder(f"{path}: name is a text, not {name!r}")
    return name


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that a prompt can be read and a change of it be seen."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _written(record: Any) -> str:
    return yaml.dump(record, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
