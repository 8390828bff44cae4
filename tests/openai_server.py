"""What a server that speaks OpenAI's chat completions answers; given to a `ScriptedServer`."""

from typing import Any

from tests.scripted_server import Answer, json_answer


def completion(
    message: dict[str, Any], *, usage: Any = "default", finish: str = "stop", model: str = "gpt-4o-mini"
) -> Answer:
    body: dict[str, Any] = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
    }  # fmt: skip
    if usage is not None:
        body["usage"] = (
            {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100} if usage == "default" else usage
        )
    return json_answer(body)


def failure(status: int, message: str = "no", **headers: str) -> Answer:
    return json_answer({"error": {"message": message, "type": "error", "code": None}}, status, **headers)
