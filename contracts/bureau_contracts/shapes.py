"""The two base models of every contract, and the field types that several contracts share."""

from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints


class Request(BaseModel):
    """What a caller sends. Unknown fields are refused, so that a typo is an error and not a silent default."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """What a service answers. Unknown fields are ignored: a newer server may add some."""

    model_config = ConfigDict(extra="ignore")


def _refuse_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("the NUL character cannot be stored")
    return text


NoNul = AfterValidator(_refuse_nul)

Label = Annotated[str, StringConstraints(min_length=1, max_length=200), NoNul]
"""A short human text on one line: a title, a tag, a name of somebody else's thing."""

Text = Annotated[str, StringConstraints(max_length=1_000_000), NoNul]
"""Free text: a message, a prompt, a document. At most a million characters."""

SubjectId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$")]
"""A tenant's or user's identifier: letters, digits and ``. _ @ + -``, at most 128."""

AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]

JsonObject = dict[str, Any]
"""A JSON object whose content is the caller's own."""

Timestamp = AwareDatetime
"""UTC, RFC 3339 on the wire."""

Tokens = Annotated[int, Field(ge=0, le=10**12)]
Money = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
"""US dollars."""
TraceId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Limit = Annotated[int, Field(ge=1, le=200)]
