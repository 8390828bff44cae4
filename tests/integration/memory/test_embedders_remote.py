"""Embedders behind a network, against local servers that speak the real wire formats, also when they misbehave."""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from google.oauth2.credentials import Credentials
from pydantic import SecretStr

from bureau_contracts.memory import EmbedPurpose
from kit.http_client import outside_http
from kit.outside_api import OutsideApi, Patience
from services.memory.embedder import EmbedderAway
from services.memory.embedder_remote import Remote, RemoteEmbedder
from services.memory.provider_openai import OpenAiProvider
from services.memory.provider_vertex import VertexProvider
from tests.scripted_server import Answer, Asked, ScriptedServer, json_answer, scripted_server

QUICK = Patience(attempts=3, first_pause_seconds=0.01, longest_pause_seconds=1)
VERTEX_MODEL = "text-embedding-005"
DOCUMENT, QUERY = EmbedPurpose.DOCUMENT, EmbedPurpose.QUERY


def openai_vectors(*vectors: Sequence[float], shuffle: bool = False) -> Answer:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return json_answer({"object": "list", "data": data[::-1] if shuffle else data, "model": "m", "usage": usage})


def vertex_vectors(*vectors: Sequence[float]) -> Answer:
    about = {"truncated": False, "token_count": 4}
    return json_answer({"predictions": [{"embeddings": {"values": each, "statistics": about}} for each in vectors]})


def openai_failure(status: int, **headers: str) -> Answer:
    return json_answer({"error": {"message": "no, for sk-secret", "type": "x", "code": None}}, status, **headers)


def vertex_failure(status: int, **headers: str) -> Answer:
    return json_answer({"error": {"code": status, "message": "no", "status": "X"}}, status, **headers)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as made:
        yield made


Make = Callable[..., RemoteEmbedder]


@pytest.fixture
async def openai(server: ScriptedServer) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        def make(seconds: float = 5, dimensions: int = 2, shorten: bool = False, **remote: Any) -> RemoteEmbedder:
            client = outside_http(timeout_seconds=seconds, connect_seconds=1)
            stack.push_async_callback(client.aclose)
            api = OutsideApi(client, "the embeddings endpoint", f"{server.url}/v1", SecretStr("sk-secret"), seconds)
            provider = OpenAiProvider(api, "m", shorten_to=dimensions if shorten else None)
            return RemoteEmbedder(provider, Remote("openai", "m", dimensions, patience=QUICK, **remote))

        yield make


@pytest.fixture
async def vertex(server: ScriptedServer) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        def make(seconds: float = 5, dimensions: int = 2, shorten: bool = False, **remote: Any) -> RemoteEmbedder:
            client = outside_http(timeout_seconds=seconds, connect_seconds=1)
            stack.push_async_callback(client.aclose)
            provider = VertexProvider(
                client, VERTEX_MODEL, project="p", location="us-central1", timeout_seconds=seconds,
                base_url=server.url, credentials=_credentials(), shorten_to=dimensions if shorten else None,
            )  # fmt: skip
            return RemoteEmbedder(provider, Remote("vertex", VERTEX_MODEL, dimensions, patience=QUICK, **remote))

        yield make


@pytest.fixture(params=["openai", "vertex"])
def either(request: pytest.FixtureRequest, openai: Make, vertex: Make) -> tuple[Make, Any, Any]:
    """The embedder, and how its provider says a vector and a failure."""
    if request.param == "openai":
        return openai, openai_vectors, openai_failure
    return vertex, vertex_vectors, vertex_failure


def _credentials() -> Credentials:
    return Credentials(token="test")  # type: ignore[no-untyped-call]  # google-auth is not typed in full


async def test_openai_is_asked_for_a_batch_and_answers_in_any_order(server: ScriptedServer, openai: Make) -> None:
    server.answers = [openai_vectors([3, 4], [0, 2], shuffle=True)]
    assert await openai(shorten=True).embed(["one", "two"], DOCUMENT) == [[0.6, 0.8], [0, 1]]
    asked = server.requests[0]
    assert asked.line == "POST /v1/embeddings HTTP/1.1"
    assert asked.headers["authorization"] == "Bearer sk-secret"
    assert asked.body == {"model": "m", "input": ["one", "two"], "encoding_format": "float", "dimensions": 2}


async def test_openai_may_answer_in_base64(server: ScriptedServer, openai: Make) -> None:
    written = base64.b64encode(struct.pack("<2f", 0, 5)).decode()
    server.answers = [json_answer({"data": [{"index": 0, "embedding": written}]})]
    assert await openai().embed(["one"], QUERY) == [[0, 1]]
    assert "dimensions" not in server.requests[0].body


async def test_vertex_is_told_what_a_text_is_for(server: ScriptedServer, vertex: Make) -> None:
    server.answers = [vertex_vectors([3, 4])]
    embedder = vertex(shorten=True)
    assert await embedder.embed(["one"], QUERY) == [[0.6, 0.8]]
    await embedder.embed(["one"], DOCUMENT)
    path = "/projects/p/locations/us-central1/publishers/google/models/text-embedding-005:predict"
    assert path in server.requests[0].line
    assert [asked.body["instances"][0]["task_type"] for asked in server.requests] == [
        "RETRIEVAL_QUERY",
        "RETRIEVAL_DOCUMENT",
    ]
    assert server.requests[0].body["parameters"]["outputDimensionality"] == 2
    assert server.requests[0].headers["authorization"] == "Bearer test"


async def test_many_texts_are_asked_for_in_batches_and_keep_their_order(
    server: ScriptedServer, either: tuple[Make, Any, Any]
) -> None:
    make, vectors, _ = either

    def answer(asked: Asked) -> Answer:
        texts = asked.body.get("input") or [each["content"] for each in asked.body["instances"]]
        answer: Answer = vectors(*[[1.0, float(text)] for text in texts])
        return answer

    server.answers = [answer]
    found = await make().embed([str(number) for number in range(150)], DOCUMENT)
    assert [round(y / x) for x, y in found] == list(range(150))


async def test_a_rate_limit_is_waited_out(server: ScriptedServer, either: tuple[Make, Any, Any]) -> None:
    make, vectors, failure = either
    server.answers = [failure(429), failure(503), vectors([1, 0])]
    assert await make().embed(["one"], DOCUMENT) == [[1, 0]]
    assert len(server.requests) == 3


async def test_openais_retry_after_is_kept(server: ScriptedServer, openai: Make) -> None:
    server.answers = [openai_failure(429, retry_after="0.2"), openai_vectors([1, 0])]
    began = asyncio.get_running_loop().time()
    await openai().embed(["one"], DOCUMENT)
    assert asyncio.get_running_loop().time() - began >= 0.2


async def test_a_provider_that_stays_busy_is_given_up_on_after_three_calls(
    server: ScriptedServer, either: tuple[Make, Any, Any]
) -> None:
    make, _, failure = either
    server.answers = [failure(500)]
    with pytest.raises(EmbedderAway, match="answered 500"):
        await make().embed(["one"], DOCUMENT)
    assert len(server.requests) == QUICK.attempts


async def test_a_wrong_key_is_not_tried_again_and_never_shown(
    server: ScriptedServer, either: tuple[Make, Any, Any]
) -> None:
    make, _, failure = either
    server.answers = [failure(401)]
    with pytest.raises(EmbedderAway, match="answered 401"):
        await make().embed(["one"], DOCUMENT)
    assert len(server.requests) == 1


async def test_a_provider_that_hangs_costs_one_time_limit_and_then_nothing(
    server: ScriptedServer, either: tuple[Make, Any, Any]
) -> None:
    make, vectors, _ = either
    server.answers = [vectors([1, 0]), None]
    embedder = make(seconds=0.5)
    await embedder.embed(["one"], QUERY)  # what is made with the first call does not count against the limit
    for _ in range(20):
        with pytest.raises(EmbedderAway, match="did not answer within"):
            await embedder.embed(["one"], QUERY)
    assert len(server.requests) == 2


async def test_after_its_rest_a_provider_is_asked_again(server: ScriptedServer, openai: Make) -> None:
    server.answers = [openai_failure(401), openai_vectors([1, 0])]
    embedder, now = openai(), [100.0]
    embedder._now = lambda: now[0]
    with pytest.raises(EmbedderAway):
        await embedder.embed(["one"], QUERY)
    now[0] += 60
    assert await embedder.embed(["one"], QUERY) == [[1, 0]]


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"<html>"),
        (200, {}, b"{}"),
        (200, {}, b""),
        (200, {"content-length": "9999"}, b'{"data": ['),
        openai_vectors([1, 2, 3]),
        openai_vectors([1, 0], [0, 1]),
        openai_vectors([0, 0]),
        openai_vectors(),
        (200, {}, b'{"data": [{"index": 0, "embedding": [NaN, 1]}]}'),
        (200, {}, b'{"data": [{"index": 0, "embedding": "!!"}]}'),
        (200, {}, b'{"data": [{"index": 7, "embedding": [1, 0]}]}'),
        (200, {}, b'{"data": "' + b"x" * 9 * 1024 * 1024 + b'"}'),
    ],
    ids=["html", "empty", "nothing", "cut", "longer", "two", "zero", "none", "nan", "no base64", "index", "huge"],
)
async def test_an_answer_of_openais_that_is_wrong_is_refused(
    server: ScriptedServer, openai: Make, answer: Answer
) -> None:
    server.answers = [answer]
    with pytest.raises(EmbedderAway) as refused:
        await openai().embed(["one"], DOCUMENT)
    assert "sk-secret" not in refused.value.detail


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"<html>"),
        (200, {}, b"{}"),
        (200, {"content-length": "9999"}, b'{"predictions": ['),
        vertex_vectors([1, 2, 3]),
        vertex_vectors([1, 0], [0, 1]),
        vertex_vectors([0, 0]),
        (200, {}, b'{"predictions": [{"embeddings": {"values": ["x", 1]}}]}'),
    ],
    ids=["html", "empty", "cut", "longer", "two", "zero", "words"],
)
async def test_an_answer_of_vertexs_that_is_wrong_is_refused(
    server: ScriptedServer, vertex: Make, answer: Answer
) -> None:
    server.answers = [answer]
    with pytest.raises(EmbedderAway):
        await vertex().embed(["one"], DOCUMENT)


async def test_a_text_that_is_too_long_is_cut(server: ScriptedServer, openai: Make) -> None:
    server.answers = [openai_vectors([1, 0])]
    embedder = openai(max_tokens=100)
    for text in ("word " * 1000, "字" * 1000, "short"):
        await embedder.embed([text], DOCUMENT)
    lengths = [len(asked.body["input"][0]) for asked in server.requests]
    assert lengths == [300, 50, 5]
