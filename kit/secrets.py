"""Secrets that records refer to: `env:NAME`, `file:/PATH`. Looked up when they are used, and kept nowhere.

A record is written by whoever may change records, so it must not be able to name just any variable or file of
this process: only variables with a prefix of their own and files below one folder can be referred to.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 1024
MOST_LEVELS = 64
LEAST_CHARS = 4
"""Of what stands behind a scheme; shorter, it is a word rather than a secret."""
HIDDEN = "***"


class SecretMissing(Exception):
    """A reference leads to no secret. The message names the reference, which is no secret itself."""


class Secrets:
    def __init__(self, environment: Mapping[str, str], prefix: str, folder: Path | None) -> None:
        """Variables that begin with `prefix`, and files below `folder` (None: no files)."""
        self._environment, self._prefix, self._folder = environment, prefix, folder

    async def resolve(self, references: Mapping[str, str]) -> dict[str, str]:
        """The values, by the same keys. Raises SecretMissing for the first that is not there."""
        return {key: await self._value(reference) for key, reference in references.items()}

    async def _value(self, reference: str) -> str:
        kind, _, place = reference.partition(":")
        if kind == "env":
            return self._variable(place)
        if kind == "file":
            return await asyncio.to_thread(self._content, place)
        raise SecretMissing(f"{reference}: env:NAME or file:/PATH is needed")

    def _variable(self, name: str) -> str:
        if not name.startswith(self._prefix):
            raise SecretMissing(f"env:{name}: only variables that begin with {self._prefix} can be referred to")
        value = self._environment.get(name)
        if not value:
            raise SecretMissing(f"env:{name}: this service has no such variable")
        return value

    def _content(self, place: str) -> str:
        if self._folder is None:
            raise SecretMissing(f"file:{place}: this service has no folder of secrets")
        try:
            # Resolved first, so that neither `..` nor a link leads out of the folder.
            path = Path(place).resolve(strict=True)
            if not path.is_relative_to(self._folder.resolve()):
                raise SecretMissing(f"file:{place}: not below this service's folder of secrets")
            if not path.is_file():
                raise SecretMissing(f"file:{place}: not a file")
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise SecretMissing(f"file:{place}: more than {MOST_BYTES} bytes")
            return content.decode().strip()
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle
            raise SecretMissing(f"file:{place}: cannot be read ({type(error).__name__})") from None


def without(secrets: Mapping[str, str], text: str) -> str:
    """The text without these values, for what somebody else wrote who was told them."""
    for value in _told(secrets):
        text = text.replace(value, HIDDEN)
    return text


def without_in(secrets: Mapping[str, str], value: Any) -> Any:
    """The same for JSON: in texts, names and numbers. What is nested deeper than anybody keeps is left out."""
    return _without(_told(secrets), value, MOST_LEVELS) if secrets else value


def _told(secrets: Mapping[str, str]) -> list[str]:
    """The values, the longest first; of ``Bearer abc`` also what stands behind the scheme."""
    behind = (value.partition(" ")[2].strip() for value in secrets.values())
    told = {value for value in secrets.values() if value} | {each for each in behind if len(each) >= LEAST_CHARS}
    return sorted(told, key=len, reverse=True)


def _without(told: list[str], value: Any, levels: int) -> Any:
    if isinstance(value, str):
        for each in told:
            value = value.replace(each, HIDDEN)
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return HIDDEN if str(value) in told else value
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return HIDDEN
    if isinstance(value, list):
        return [_without(told, each, levels - 1) for each in value]
    return {_without(told, name, levels): _without(told, each, levels - 1) for name, each in value.items()}
