"""A model that says what a test has written down, and remembers what it was asked."""

from collections.abc import Sequence

from bureau_contracts.sessions import ToolCall
from services.runtime.models.model import ModelFailed, ModelReply, ModelRequest

Line = ModelReply | ModelFailed


class ScriptedModel:
    """Gives one line for each request; fails the test when it is asked once too often."""

    provider = "tests"
    name = "scripted"

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = list(lines)
        self.asked: list[ModelRequest] = []

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.asked.append(request)
        assert self._lines, "the model was asked once too often"
        line = self._lines.pop(0)
        if isinstance(line, ModelFailed):
            raise line
        return line


def says(text: str) -> ModelReply:
    return ModelReply(text, model="scripted-1", input_tokens=10, output_tokens=2, cost=0.5)


def wants(*calls: tuple[str, dict[str, object]], malformed: dict[str, str] | None = None) -> ModelReply:
    made = tuple(ToolCall(call_id=f"call-{n}", name=name, arguments=given) for n, (name, given) in enumerate(calls))
    return ModelReply("", made, malformed or {}, model="scripted-1", input_tokens=10, output_tokens=2, cost=0.5)
