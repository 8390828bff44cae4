"""A2A's shapes that a real server is not easily brought to answer."""

from typing import Any

import pytest

from services.runtime.a2a_wire import Declined, Dialect, NotA2A, NotSpoken, Stage, endpoint, progress

V1 = {"url": "http://a/v1", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
GRPC = {"url": "http://a/grpc", "protocolBinding": "GRPC", "protocolVersion": "1.0"}


@pytest.mark.parametrize(
    ("card", "found"),
    [
        ({"supportedInterfaces": [GRPC, V1]}, ("http://a/v1", Dialect.V1)),
        ({"supportedInterfaces": [V1], "url": "http://a/old", "protocolVersion": "0.3"}, ("http://a/v1", Dialect.V1)),
        ({"url": "http://a/old", "protocolVersion": "0.3.0"}, ("http://a/old", Dialect.V03)),
        (
            {
                "url": "http://a/grpc", "preferredTransport": "GRPC", "protocolVersion": "0.3.0",
                "additionalInterfaces": [{"url": "http://a/rpc", "transport": "JSONRPC"}],
            },
            ("http://a/rpc", Dialect.V03),
        ),
    ],
)  # fmt: skip
def test_a_card_says_where_json_rpc_is_spoken(card: Any, found: tuple[str, Dialect]) -> None:
    assert endpoint(card) == found


@pytest.mark.parametrize("card", [[], {}, {"supportedInterfaces": [GRPC]}, {"supportedInterfaces": "x", "url": 3}])
def test_a_card_without_one_is_refused(card: Any) -> None:
    with pytest.raises(NotA2A):
        endpoint(card)


@pytest.mark.parametrize(
    ("result", "stage", "text"),
    [
        ({"message": {"parts": [{"text": "a"}, {"data": {}}, {"text": "b"}]}}, Stage.DONE, "ab"),
        ({"kind": "message", "parts": [{"kind": "text", "text": "a"}]}, Stage.DONE, "a"),
        ({"task": {"id": "t", "status": {"state": "TASK_STATE_WORKING"}}}, Stage.WORKING, ""),
        ({"id": "t", "kind": "task", "status": {"state": "submitted"}}, Stage.WORKING, ""),
        (
            {"id": "t", "status": {"state": "input-required", "message": {"parts": [{"text": "which?"}]}}},
            Stage.ASKS, "which?",
        ),
        ({"task": {"id": "t", "status": {"state": "TASK_STATE_INPUT_REQUIRED"}}}, Stage.ASKS, ""),
        (
            {"task": {
                "id": "t", "status": {"state": "TASK_STATE_COMPLETED", "message": {"parts": [{"text": "ready"}]}},
                "artifacts": [{"parts": [{"text": "one"}]}, {"parts": [{"text": "two"}]}, 7],
            }},
            Stage.DONE, "one\ntwo",
        ),
        ({"task": {"status": {"state": "TASK_STATE_REJECTED"}}}, Stage.FAILED, ""),
        ({"task": {"status": {"state": "a state of tomorrow"}}}, Stage.FAILED, ""),
    ],
)  # fmt: skip
def test_an_answer_is_read_in_either_dialect(result: Any, stage: Stage, text: str) -> None:
    read = progress({"jsonrpc": "2.0", "id": "1", "result": result})
    assert (read.stage, read.text) == (stage, text)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([], NotA2A),
        ({}, NotA2A),
        ({"result": 7}, NotA2A),
        ({"result": {"anything": 1}}, NotA2A),
        ({"result": {"task": {"status": {"state": "working"}}}}, NotA2A),
        ({"error": {"code": -32601, "message": "Method not found"}}, NotSpoken),
        ({"error": {"code": -32009}}, NotSpoken),
        ({"error": {"code": -32000, "message": "no"}}, Declined),
    ],
)
def test_what_is_no_answer_says_so(answer: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        progress(answer)
