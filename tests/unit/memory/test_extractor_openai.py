"""The extractor behind an API: what it asks, and that nothing but a right answer is believed."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from bureau_contracts.memory import Memory, MemoryKind, Origin
from bureau_contracts.memory_extraction import ExtractionAction
from kit.http_client import outside_http
from kit.outside_api import OutsideApi
from services.memory.extractor import ExtractorFailed, Finding, Said
from services.memory.extractor_openai import OpenAiExtractor
from tests.scripted_server import Script, json_answer, scripted_server

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SAID = [Said(3, Origin.USER, "I moved to Paris", NOW)]
KNOWN = [
    Memory(
        memory_id="mem-1", tenant="acme", user_id="ann", text="lives in Rome", kind=MemoryKind.FACT, metadata={},
        importance=0.5, valid_from=NOW, embedding_model="", created_at=NOW, updated_at=NOW,
    )
]  # fmt: skip


def written(**changes: Any) -> dict[str, Any]:
    memory = {"action": "add", "text": "The user lives in Paris.", "kind": "fact", "seqs": [3], "memory_id": None,
              "importance": 0.7}  # fmt: skip
    return {"memories": [{**memory, **changes}]}


def answer(content: Any) -> Script:
    text = content if isinstance(content, str) else json.dumps(content)
    return json_answer({"choices": [{"message": {"role": "assistant", "content": text}}]})


async def asked(script: Script, seconds: float = 5) -> tuple[list[Finding], dict[str, Any]]:
    async with scripted_server() as server, outside_http(timeout_seconds=5, connect_seconds=1) as client:
        server.answers = [script]
        api = OutsideApi(client, "the endpoint", server.url, SecretStr("sk-secret"), seconds)
        found = await OpenAiExtractor(api, "gpt-x").extract(SAID, KNOWN)
        assert server.requests[0].headers["authorization"] == "Bearer sk-secret"
        return found, server.requests[0].body


async def test_a_finding_comes_with_its_sources_and_what_it_replaces() -> None:
    (finding,), body = await asked(answer(written(action="supersede", memory_id="mem-1")))
    assert (finding.action, finding.target, finding.seqs) == (ExtractionAction.SUPERSEDED, "mem-1", (3,))
    assert body["response_format"]["type"] == "json_schema"
    given = json.loads(body["messages"][1]["content"])
    assert given["known"] == [{"memory_id": "mem-1", "text": "lives in Rome", "origin": "user"}]
    assert given["messages"][0]["text"] == "I moved to Paris"


@pytest.mark.parametrize(
    "changes",
    [{"seqs": [99]}, {"action": "update", "memory_id": "mem-other"}, {"action": "supersede"}],
    ids=["a message that was not given", "a memory that was not given", "no memory"],
)
async def test_what_comes_from_nowhere_has_no_source(changes: dict[str, Any]) -> None:
    (finding,), _ = await asked(answer(written(**changes)))
    assert finding.seqs == ()
    assert finding.target is None


@pytest.mark.parametrize(
    "script",
    [
        answer("Sure! Here are the memories: …"),
        answer({"memories": [{"text": "x"}]}),
        answer(written(text="")),
        answer(written(kind="document")),
        answer(written(importance=7)),
        answer({"memories": [written()["memories"][0]] * 101}),
        json_answer({"choices": []}),
        json_answer({"choices": [{"message": {"content": None, "refusal": "no"}}]}),
        json_answer({"error": {"message": "bad key"}}, 401),
        (200, {"content-length": "500"}, b'{"choices'),
    ],
    ids=["prose", "fields", "empty", "kind", "importance", "many", "none", "refusal", "401", "cut"],
)
async def test_a_wrong_answer_is_a_failure_that_says_no_secret(script: Script) -> None:
    with pytest.raises(ExtractorFailed) as failure:
        await asked(script)
    assert "sk-secret" not in str(failure.value)
    assert "Paris" not in str(failure.value)


async def test_a_model_that_hangs_costs_its_time_limit() -> None:
    with pytest.raises(ExtractorFailed, match="did not answer within"):
        await asked(None, seconds=0.2)
