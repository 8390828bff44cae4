"""A2A agent cards: ours, made from a record, and those of remote agents, checked. Touches no network.

The form is that of A2A 1.0 as JSON (https://a2a-protocol.org/latest/specification/); cards of 0.3 are read too.
"""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from bureau_contracts.registry import AgentRecord
from bureau_contracts.shapes import JsonObject
from kit import strict_json
from kit.errors import BadRequest

CARD_PATH = "/.well-known/agent-card.json"
PROTOCOL = "1.0"

_Text = Annotated[str, StringConstraints(max_length=10_000)]
_Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2000)]


class NotACard(Exception):
    """The message says what is wrong, without quoting it."""


def card_url(url: str) -> str:
    """Where the card of the agent at this URL is: the URL itself when that is a file of JSON."""
    return url if urlsplit(url).path.endswith(".json") else url.rstrip("/") + CARD_PATH


def checked(body: bytes) -> JsonObject:
    """The card as it was sent, fields that we don't know too. Raises NotACard."""
    try:
        content = strict_json.loads(body)
        _Card.model_validate(content)
    except BadRequest as error:
        raise NotACard("its card is not JSON") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise NotACard(f"its card is not an agent card: {place + ': ' if place else ''}{first['msg']}") from error
    assert isinstance(content, dict)
    return content


def card_of(agent: AgentRecord) -> JsonObject:
    """A card that says what the record says. Only an A2A agent has an interface: any other is reached through Bureau,
    or speaks another protocol."""
    able = agent.capabilities
    interfaces = [{"url": agent.a2a, "protocolBinding": "JSONRPC", "protocolVersion": PROTOCOL}] if agent.a2a else []
    modes = {"inputModes": able.input_modes, "outputModes": able.output_modes}
    skills = [
        {"id": skill, "name": skill, "description": skill, "tags": [*able.domains, *agent.tags], **modes}
        for skill in able.skills or [agent.name]
    ]
    # A record's examples are the agent's and not a skill's; they stand with the first.
    skills[0]["examples"] = able.example_queries
    return {
        "name": agent.name,
        "description": agent.description or agent.name,
        "version": str(agent.revision),
        "supportedInterfaces": interfaces,
        "capabilities": {"streaming": False, "pushNotifications": False},
        "defaultInputModes": able.input_modes,
        "defaultOutputModes": able.output_modes,
        "skills": skills,
    }


class _Tolerant(BaseModel):
    """Of somebody else's document: what we do not need may be anything."""

    model_config = ConfigDict(extra="ignore")


class _Interface(_Tolerant):
    url: _Url


class _Skill(_Tolerant):
    id: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    name: _Text = ""
    description: _Text = ""
    tags: list[_Text] = Field(default=[], max_length=500)
    examples: list[_Text] = Field(default=[], max_length=1000)


class _Card(_Tolerant):
    name: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    description: _Text = ""
    version: _Text = ""
    protocolVersion: _Text = ""  # noqa: N815 - as the wire has it; 0.3 alone
    url: _Url | None = None
    """0.3."""
    supportedInterfaces: list[_Interface] = Field(default=[], max_length=50)  # noqa: N815 - 1.0
    skills: list[_Skill] = Field(default=[], max_length=1000)

    @model_validator(mode="after")
    def _says_where_it_is(self) -> Self:
        if self.url is None and not self.supportedInterfaces:
            raise ValueError("neither supportedInterfaces nor url says where the agent is")
        return self
