"""An `http` step is one request to an allowed address."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from bureau_contracts.steps import HttpCall, HttpMethod, NewStep, StepKind
from kit.identity import Owner
from kit.settings import SettingsError
from services.jobs.allowed import Allowed
from services.jobs.records import repeatable
from services.jobs.references import BadReference
from services.jobs.settings import Settings
from services.jobs.step_http import HttpRunner
from services.jobs.steps import OutcomeUnknown, StepContext, StepFailed, TryLater, with_references

CONTEXT = StepContext("job-01", "review", Owner("acme", "ann"), 2, attempt=3, run=1)
URL = "https://api.example.com/v1/orders"
Handler = Callable[[httpx.Request], httpx.Response]


def step(url: str = URL, **call: Any) -> NewStep:
    return NewStep(name="order", kind=StepKind.HTTP, request=HttpCall(url=url, **call))


async def run(handler: Handler, a_step: NewStep | None = None, most_bytes: int = 1000) -> Any:
    async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
        runner = HttpRunner(client, Allowed(["https://api.example.com/v1"]), most_bytes)
        return await runner.run(a_step or step(), CONTEXT)


def answering(status: int, content: bytes = b"", **headers: str) -> Handler:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: httpx.Response(status, content=content, headers=given)


def failing(error: Exception) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    return handler


async def test_the_request_is_as_the_step_says_with_a_key_of_its_own() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json={"id": 7}, headers={"location": "/v1/orders/7", "set-cookie": "a=b"})

    headers = {"X-Team": "blue", "Idempotency-Key": "mine", "Host": "inside.example.com"}
    a_step = step(method=HttpMethod.POST, headers=headers, body={"sku": "ü"})
    assert await run(handler, a_step) == {
        "status": 201, "headers": {"content-type": "application/json", "location": "/v1/orders/7"}, "body": {"id": 7},
    }  # fmt: skip
    (request,) = seen
    assert (request.method, str(request.url), request.headers["x-team"]) == ("POST", URL, "blue")
    assert request.headers["host"] == "api.example.com", "another one would lead past the allow-list"
    assert request.headers["idempotency-key"] == CONTEXT.idempotency_key == "job-01:2"
    assert request.read() == '{"sku":"ü"}'.encode()


@pytest.mark.parametrize(
    ("content_type", "content", "body"),
    [
        ("application/problem+json; charset=utf-8", b'{"a": 1}', {"a": 1}),
        ("application/json", b"", None),
        ("application/json", b"{broken", "{broken"),
        ("text/plain", b"\xff\x00hi", "\ufffd\ufffdhi"),
    ],
)
async def test_a_body_is_json_where_it_says_so_and_text_otherwise(content_type: str, content: bytes, body: Any) -> None:
    assert (await run(answering(200, content, content_type=content_type)))["body"] == body


@pytest.mark.parametrize(
    ("handler", "failure", "words"),
    [
        (answering(429, retry_after="7"), TryLater, "answered 429"),
        (answering(503), TryLater, "answered 503"),
        (failing(httpx.ConnectError("no")), TryLater, "cannot be reached"),
        (answering(500, b"oh no"), OutcomeUnknown, "answered 500: oh no"),
        (answering(408), OutcomeUnknown, "answered 408"),
        (failing(httpx.ReadTimeout("slow")), OutcomeUnknown, "no whole answer"),
        (failing(httpx.RemoteProtocolError("cut")), OutcomeUnknown, "no whole answer"),
        (answering(404, b"x" * 900), StepFailed, "answered 404"),
        (answering(302, location="https://elsewhere.example"), StepFailed, "elsewhere.example, which is not followed"),
        (answering(200, b"x" * 1001), StepFailed, "more than 1000 bytes"),
    ],
)  # fmt: skip
async def test_what_goes_wrong_is_told_apart_by_what_it_did(
    handler: Handler, failure: type[StepFailed], words: str
) -> None:
    with pytest.raises(failure, match=words) as failed:
        await run(handler)
    assert type(failed.value) is failure
    assert len(str(failed.value)) < 700


async def test_the_targets_retry_after_is_kept() -> None:
    with pytest.raises(TryLater) as later:
        await run(answering(429, retry_after="7"))
    assert later.value.retry_after == 7


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v2/orders",
        "https://api.example.com/v1x",
        "http://api.example.com/v1/orders",
        "https://api.example.com:8443/v1/orders",
        "https://api.example.com.evil.example/v1/orders",
        "https://api.example.com@evil.example/v1/orders",
        "https://user:pw@api.example.com/v1/orders",
        "https://api.example.com/v1/../admin",
        "https://api.example.com/v1/%2e%2e/admin",
        "https://api.example.com/v1/..%2fadmin",
        "file:///etc/passwd",
        "//api.example.com/v1",
        "not an address",
        "https://",
    ],
)
async def test_no_other_address_is_called(url: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("it was called")

    with pytest.raises(StepFailed, match="JOBS_HTTP_ALLOWED"):
        await run(handler, step(url))


@pytest.mark.parametrize("url", ["https://api.example.com/v1", "https://API.example.com:443/v1/a?b=c#d"])
async def test_what_is_below_an_allowed_address_is_called(url: str) -> None:
    assert (await run(answering(200), step(url)))["status"] == 200


def test_without_a_setting_nothing_is_allowed() -> None:
    assert URL not in Allowed([])
    with pytest.raises(ValidationError, match="no http address"):
        Settings(http_allowed="ftp://example.com")
    with pytest.raises(SettingsError, match="JOBS_HTTP_ALLOWED"):
        Settings.from_environment({"JOBS_HTTP_ALLOWED": "example.com"})


SCOPE = {"input": {"id": "a/b?c=1&d"}, "steps": {"find": {"ids": [7, "ü"], "dots": "..", "none": ""}}}


def test_what_is_put_into_an_address_stays_one_part_of_it() -> None:
    url = f"{URL}/{{{{ input.id }}}}?q={{{{ steps.find.ids }}}}&n={{{{ steps.find.ids.0 }}}}"
    filled = with_references(step(url, body={"again": "{{ steps.find.ids.1 }}"}), SCOPE).request
    assert filled is not None
    assert filled.url == f"{URL}/a%2Fb%3Fc%3D1%26d?q=%5B7%2C%20%22%C3%BC%22%5D&n=7"
    assert filled.body == {"again": "ü"}
    with pytest.raises(BadReference, match="another folder"):
        with_references(step(f"{URL}/{{{{ steps.find.dots }}}}"), SCOPE)


@pytest.mark.parametrize(
    ("call", "may"),
    [
        ({}, True),
        ({"method": HttpMethod.PUT}, True),
        ({"method": HttpMethod.DELETE}, True),
        ({"method": HttpMethod.POST}, False),
        ({"method": HttpMethod.PATCH}, False),
        ({"method": HttpMethod.POST, "idempotent": True}, True),
    ],
)
def test_a_request_is_repeatable_when_its_method_or_its_target_makes_it_so(call: dict[str, Any], may: bool) -> None:
    assert repeatable(step(**call)) is may
    assert repeatable(step(**call).model_copy(update={"repeatable": not may})) is not may
