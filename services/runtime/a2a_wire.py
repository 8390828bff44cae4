"""A2A's JSON-RPC shapes, as far as a turn needs them: text in, text out, of protocol 1.0 and 0.3. Sends nothing.

https://a2a-protocol.org/latest/specification/ and https://a2a-protocol.org/v0.3.0/specification/
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bureau_contracts.shapes import JsonObject

CARD_PATH = "/.well-known/agent-card.json"
VERSION_HEADER = "a2a-version"
JSONRPC = "JSONRPC"

_NOT_SPOKEN = frozenset({-32009, -32601})
"""Error codes by which a server says that it does not speak this version: version not supported, method not found."""


class Dialect(StrEnum):
    """A protocol version. 0.3 names methods and states differently and marks every object with its `kind`."""

    V1 = "1.0"
    V03 = "0.3"


class NotA2A(Exception):
    """What came back is not what the protocol says."""


class NotSpoken(Exception):
    """The server does not speak this dialect."""


class Declined(Exception):
    """The server answered with an error; the message is its own."""


class Stage(StrEnum):
    WORKING = "working"
    DONE = "done"
    ASKS = "asks"
    """The agent needs to know more before it goes on."""
    FAILED = "failed"


@dataclass(frozen=True)
class Progress:
    """How far the remote agent has come."""

    stage: Stage
    text: str
    task_id: str | None = None
    state: str = ""


_STAGES = {
    "completed": Stage.DONE, "input-required": Stage.ASKS, "submitted": Stage.WORKING, "working": Stage.WORKING,
    "unspecified": Stage.WORKING,
}  # fmt: skip


def send(dialect: Dialect, request_id: str, *, text: str, context_id: str, message_id: str) -> JsonObject:
    """The request that hands over a message; the server may answer at once or with a task."""
    if dialect is Dialect.V1:
        message: JsonObject = {"role": "ROLE_USER", "parts": [{"text": text}]}
        configuration: JsonObject = {"acceptedOutputModes": ["text/plain"]}
    else:
        message = {"kind": "message", "role": "user", "parts": [{"kind": "text", "text": text}]}
        configuration = {"acceptedOutputModes": ["text/plain"], "blocking": True}
    message |= {"messageId": message_id, "contextId": context_id}
    method = "SendMessage" if dialect is Dialect.V1 else "message/send"
    return _request(request_id, method, {"message": message, "configuration": configuration})


def get_task(dialect: Dialect, request_id: str, task_id: str) -> JsonObject:
    return _request(request_id, "GetTask" if dialect is Dialect.V1 else "tasks/get", {"id": task_id})


def progress(answer: Any) -> Progress:
    """Reads the answer to either request, of either dialect. Raises NotA2A, NotSpoken or Declined."""
    if not isinstance(answer, dict):
        raise NotA2A("its answer is no JSON object")
    if isinstance(error := answer.get("error"), dict):
        if error.get("code") in _NOT_SPOKEN:
            raise NotSpoken
        raise Declined(f"it answered with error {error.get('code')}: {str(error.get('message', ''))[:500]}")
    result = answer.get("result")
    if not isinstance(result, dict):
        raise NotA2A("its answer has no result")
    inner = next((result[key] for key in ("message", "task") if isinstance(result.get(key), dict)), result)
    return _of_task(inner) if isinstance(inner.get("status"), dict) else _of_message(inner)


def endpoint(card: Any) -> tuple[str, Dialect]:
    """Where a card says that the agent speaks JSON-RPC, the newest dialect that we know first. Raises NotA2A."""
    spoken: dict[Dialect, str] = {}
    for url, binding, version in _interfaces(card):
        dialect = Dialect.V1 if version.startswith("1.") else Dialect.V03 if version.startswith("0.3") else None
        if dialect is not None and binding.upper() == JSONRPC and url:
            spoken.setdefault(dialect, url)
    for dialect in Dialect:
        if dialect in spoken:
            return spoken[dialect], dialect
    raise NotA2A("its card names no JSON-RPC interface of protocol 1.0 or 0.3")


def _interfaces(card: Any) -> Iterator[tuple[str, str, str]]:
    if not isinstance(card, dict):
        raise NotA2A("its card is no JSON object")
    listed = card.get("supportedInterfaces")
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict):
            yield _url(each), str(each.get("protocolBinding", "")), str(each.get("protocolVersion", "1.0"))
    version = str(card.get("protocolVersion", "0.3"))
    yield _url(card), str(card.get("preferredTransport", JSONRPC)), version
    listed = card.get("additionalInterfaces")
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict):
            yield _url(each), str(each.get("transport", "")), version


def _url(holder: JsonObject) -> str:
    url = holder.get("url")
    return url if isinstance(url, str) else ""


def _of_task(task: JsonObject) -> Progress:
    status = task["status"]
    state = str(status.get("state", "")).removeprefix("TASK_STATE_").lower().replace("_", "-")
    artifacts = task.get("artifacts")
    made = "\n".join(filter(None, (_text(each) for each in artifacts))) if isinstance(artifacts, list) else ""
    said = _text(status.get("message"))
    stage = _STAGES.get(state, Stage.FAILED)
    text = made or said if stage is Stage.DONE else said or made
    task_id = task.get("id")
    if stage is Stage.WORKING and not isinstance(task_id, str):
        raise NotA2A("its task has no id")
    return Progress(stage, text, task_id if isinstance(task_id, str) else None, state)


def _of_message(message: JsonObject) -> Progress:
    if not isinstance(message.get("parts"), list):
        raise NotA2A("its answer is neither a message nor a task")
    return Progress(Stage.DONE, _text(message))


def _text(holder: Any) -> str:
    """The text parts of a message or an artifact; other parts are left out."""
    parts = holder.get("parts") if isinstance(holder, dict) else None
    texts = (part.get("text") for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ()
    return "".join(each for each in texts if isinstance(each, str))


def _request(request_id: str, method: str, params: JsonObject) -> JsonObject:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
