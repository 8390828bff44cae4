"""The registry's document as the bytes of its file, and back. Touches no disk."""

import re
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import to_json

from bureau_contracts.registry import AgentRecord
from bureau_contracts.shapes import AgentName
from services.registry.document import Document

VERSION = (1, 0, 0)
"""Of the file's form. The second number grows when something is added, the first when something changes."""


class RegistryFileError(Exception):
    """The file cannot be used and must not be touched; the message says what to do."""


class Damaged(Exception):
    """This file is not a whole registry; the message says why, without quoting it."""


class Renderer:
    """Writes documents one after the other; what has not changed since the last one is not encoded again."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[AgentRecord, bytes]] = {}

    def render(self, document: Document, now: datetime) -> list[bytes]:
        """The file's parts: one agent per line, so that versions can be compared by eye."""
        lines = self._lines
        for gone in lines.keys() - document.agents.keys():
            del lines[gone]
        for name, agent in document.agents.items():
            known = lines.get(name)
            if known is None or known[0] is not agent:
                lines[name] = agent, to_json(name) + b": " + to_json(agent)
        head = b'{"version": "%s", "last_updated": %s,\n"agents": {\n'
        tail = b'\n},\n"tools": %s,\n"prompts": %s}\n'
        return [
            head % (".".join(map(str, VERSION)).encode(), to_json(now)),
            b",\n".join([lines[name][1] for name in document.agents]),
            tail % (to_json(document.tools), to_json(document.prompts)),
        ]


def parse(content: bytes) -> Document:
    """Raises Damaged, and RegistryFileError for a file of a newer Bureau."""
    try:
        version = re.fullmatch(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})", _Head.model_validate_json(content).version)
        if version is None:
            raise Damaged("its version is not a version")
        if (int(version[1]), int(version[2])) > VERSION[:2]:
            raise RegistryFileError(
                f"the registry file has version {version[0]}, written by a newer Bureau; this one knows up to "
                f"{'.'.join(map(str, VERSION))} and leaves it untouched: start the newer one, or move the file away"
            )
        read = _Content.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise Damaged(f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from error
    return Document(dict(sorted(read.agents.items())), read.tools, read.prompts)


class _Head(BaseModel):
    """What every version of the file has."""

    model_config = ConfigDict(extra="ignore")
    version: str


class _Content(BaseModel):
    version: str
    last_updated: AwareDatetime
    agents: dict[AgentName, AgentRecord]
    tools: dict[str, Any] = {}
    prompts: dict[str, Any] = {}

    @model_validator(mode="after")
    def _every_agent_under_its_own_name(self) -> "_Content":
        for name, agent in self.agents.items():
            if name != agent.name:
                raise ValueError(f"the agent {agent.name!r} stands under the name {name!r}")
        return self
