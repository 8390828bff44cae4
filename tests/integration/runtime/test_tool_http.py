"""HTTP tools, called on a real wire: what is sent, what comes back, and how each failure is told."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from bureau_contracts.tools import ToolRecord
from kit.destinations import Destinations
from kit.secrets import Secrets
from services.runtime.app import target_client
from services.runtime.registered import Target as Called
from services.runtime.tool_failures import OutcomeUnknown, ToolFailed, TryLater
from services.runtime.tool_http import MOST_BYTES, HttpTool
from tests.servers import closed_url, listening, serving
from tests.tool_target import Target

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRETS = {"BUREAU_SECRET_W": "Bearer s3cret/token", "BUREAU_SECRET_BROKEN": "a\r\nb: c"}


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture
async def url(target: Target) -> AsyncIterator[str]:
    async with serving(target) as url:
        yield url


async def call(
    url: str,
    arguments: dict[str, Any] | None = None,
    *,
    seconds: float = 10,
    hosts: tuple[str, ...] = (),
    **fields: Any,
) -> Any:
    record = ToolRecord.model_validate(
        {"name": "weather", "source": "http", "url": url, "parameters": {}, "revision": 1, "registered_at": NOW,
         "updated_at": NOW, **fields}
    )  # fmt: skip
    async with target_client() as client:
        destinations = Destinations(hosts, setting="RUNTIME_REMOTE_HOSTS")
        tool = HttpTool(client, Secrets(SECRETS, "BUREAU_SECRET_", None), destinations, seconds)
        return await tool(Called(record, "weather"), arguments or {}, "job-1:0")


async def test_arguments_go_into_the_body_with_the_key_and_the_secrets(url: str) -> None:
    headers = {"Authorization": "env:BUREAU_SECRET_W", "Idempotency-Key": "env:BUREAU_SECRET_W"}
    told = await call(f"{url}/echo", {"city": "Ulm", "days": [1, 2]}, headers=headers)
    assert (told["method"], told["query"], told["body"]) == ("POST", [], {"city": "Ulm", "days": [1, 2]})
    assert told["headers"]["idempotency-key"] == "job-1:0", "a record cannot choose the key"
    assert "x-bureau-principal" not in told["headers"]
    assert "traceparent" not in told["headers"]


async def test_a_secret_that_the_target_echoes_does_not_come_back(url: str, target: Target) -> None:
    headers = {"Authorization": "env:BUREAU_SECRET_W"}
    told = await call(f"{url}/echo", {"said": "s3cret/token", "s3cret/token": 1}, headers=headers)
    assert told["headers"]["authorization"] == "***"
    assert told["body"] == {"said": "***", "***": 1}
    with pytest.raises(ToolFailed, match=r"it answers 403: \*\*\* may not") as failure:
        await call(f"{url}/refuses?status=403", headers=headers)
    assert "s3cret" not in repr(failure.value)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_arguments_of_a_get_go_into_the_query(url: str, method: str) -> None:
    arguments = {"q": "a&b=c", "n": [1, 2], "ok": True, "o": {"x": 1}, "no": None}
    told = await call(f"{url}/echo?fixed=1", arguments, method=method)
    assert told["query"] == [
        ["fixed", "1"], ["q", "a&b=c"], ["n", "1"], ["n", "2"], ["ok", "true"], ["o", '{"x": 1}'],
    ]  # fmt: skip
    assert told["body"] is None


async def test_what_stands_in_the_address_is_not_the_callers_to_change(url: str, target: Target) -> None:
    with pytest.raises(ToolFailed, match="stands in the tool's address"):
        await call(f"{url}/echo?tenant=acme", {"tenant": "globex"}, method="GET")
    assert not target.calls


@pytest.mark.parametrize(
    ("path", "answer"),
    [("text", "it rains"), ("nothing", ""), ("false", '{"a": '), ("deep", "[" * 100_000 + "]" * 100_000)],
)
async def test_what_is_no_json_is_text(url: str, path: str, answer: str) -> None:
    assert await call(f"{url}/{path}") == answer


async def test_no_more_is_read_than_can_be_used(url: str) -> None:
    text = await call(f"{url}/huge")
    assert len(text) < MOST_BYTES + 100
    assert text.endswith("y… [cut]")


@pytest.mark.parametrize(
    ("status", "kind", "retry_after"),
    [
        (429, TryLater, 7),
        (503, TryLater, 7),
        (500, OutcomeUnknown, None),
        (504, OutcomeUnknown, None),
        (408, OutcomeUnknown, None),
        (400, ToolFailed, None),
        (404, ToolFailed, None),
        (422, ToolFailed, None),
    ],
)
async def test_a_refusal_says_whether_trying_again_helps(
    url: str, target: Target, status: int, kind: type[ToolFailed], retry_after: float | None
) -> None:
    with pytest.raises(ToolFailed, match=f"it answers {status}: nobody may not") as failure:
        await call(f"{url}/refuses?status={status}")
    assert type(failure.value) is kind
    assert getattr(failure.value, "retry_after", None) == retry_after
    assert target.calls["refuses"] == 1, "nothing is repeated here"


async def test_a_redirect_is_not_followed(url: str, target: Target) -> None:
    with pytest.raises(ToolFailed, match="a redirect"):
        await call(f"{url}/elsewhere")
    assert target.calls == {"elsewhere": 1}


async def test_an_answer_that_nobody_can_read_leaves_the_outcome_open(url: str) -> None:
    with pytest.raises(OutcomeUnknown, match="compressed") as failure:
        await call(f"{url}/compressed")
    assert failure.value.hopeless


async def test_a_target_that_does_not_answer_may_have_done_it(url: str, target: Target) -> None:
    with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.3 s"):
        await call(f"{url}/slow", seconds=0.3)
    assert target.calls["slow"] == 1


async def test_nobody_listens_so_nothing_was_done() -> None:
    with pytest.raises(TryLater, match="cannot be reached"):
        await call(closed_url())


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{", b"no HTTP at all\r\n\r\n"],
    ids=["nothing", "half a body", "garbage"],
)
async def test_an_answer_that_is_cut_leaves_the_outcome_open(said: bytes) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    async with listening(cut) as url:
        with pytest.raises(OutcomeUnknown, match="no whole answer"):
            await call(url)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"headers": {"x": "env:BUREAU_SECRET_NONE"}}, "no such variable"),
        ({"headers": {"x": "env:BUREAU_IDENTITY_PRIVATE_KEY"}}, "only variables that begin with"),
        ({"headers": {"x": "env:BUREAU_SECRET_BROKEN"}}, "cannot stand in a header"),
        ({"headers": {"x y": "env:BUREAU_SECRET_W"}}, "not the name of a header"),
        ({"hosts": ("api.example.com",)}, "RUNTIME_REMOTE_HOSTS"),
    ],
)
async def test_what_may_not_be_sent_is_not(url: str, target: Target, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ToolFailed, match=reason) as failure:
        await call(f"{url}/echo", **fields)
    assert type(failure.value) is ToolFailed
    assert not target.calls


async def test_a_link_local_address_is_never_called() -> None:
    with pytest.raises(ToolFailed, match="link-local"):
        await call("http://169.254.169.254/latest/meta-data")
