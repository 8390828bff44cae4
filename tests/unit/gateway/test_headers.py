"""Which headers pass: the rules alone."""

import pytest

from gateway.errors import UpstreamBroken
from gateway.headers import answer_headers, has_length, request_headers
from kit.errors import BadRequest


def passed(*headers: tuple[bytes, bytes], client: str | None = "192.0.2.1", scheme: str = "http") -> dict[bytes, bytes]:
    scope = {"headers": list(headers), "client": (client, 1) if client else None, "scheme": scheme}
    return dict(request_headers(scope, [(b"ours", b"1")]))


def test_ours_come_last_and_the_clients_stay_in_order() -> None:
    scope = {"headers": [(b"b", b"1"), (b"a", b"2"), (b"b", b"3")], "client": None, "scheme": "http"}
    assert request_headers(scope, [(b"ours", b"1")]) == [
        (b"b", b"1"), (b"a", b"2"), (b"b", b"3"), (b"x-forwarded-proto", b"http"), (b"ours", b"1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", [b"authorization", b"x-api-key", b"x-bureau-principal", b"x-bureau-x", b"forwarded", b"te", b"upgrade"]
)
def test_what_is_ours_or_for_this_hop_is_dropped(name: bytes) -> None:
    assert name not in passed((name, b"theirs"))


def test_names_in_connection_are_dropped_in_any_case_and_from_any_line() -> None:
    got = passed((b"connection", b"X-One ,close"), (b"connection", b"x-two"), (b"x-one", b"1"), (b"x-two", b"2"))
    assert not {b"x-one", b"x-two", b"connection"} & set(got)


def test_a_client_cannot_drop_what_every_request_needs() -> None:
    assert passed((b"connection", b"host"), (b"host", b"a"))[b"host"] == b"a"


@pytest.mark.parametrize(
    ("given", "client", "expected"),
    [
        ([], "192.0.2.1", b"192.0.2.1"),
        ([b"203.0.113.7"], "192.0.2.1", b"203.0.113.7, 192.0.2.1"),
        ([b"203.0.113.7", b"10.0.0.1,"], "192.0.2.1", b"203.0.113.7, 10.0.0.1, 192.0.2.1"),
        ([b"203.0.113.7, 192.0.2.1"], "192.0.2.1", b"203.0.113.7, 192.0.2.1"),
    ],
)
def test_the_chain_of_addresses_is_appended_to(given: list[bytes], client: str, expected: bytes) -> None:
    assert passed(*((b"x-forwarded-for", value) for value in given), client=client)[b"x-forwarded-for"] == expected


def test_a_websocket_over_tls_came_by_https() -> None:
    assert passed(scheme="wss")[b"x-forwarded-proto"] == b"https"


def test_bytes_that_are_not_utf8_are_refused() -> None:
    assert passed((b"x-a", "ä".encode()))[b"x-a"] == "ä".encode()
    with pytest.raises(BadRequest):
        passed((b"x-a", b"\xff"))


def test_an_answers_headers_pass_but_those_for_this_hop() -> None:
    given = [(b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"connection", b"x-p"), (b"x-p", b"1"), (b"date", b"d")]
    assert answer_headers(200, given) == [(b"set-cookie", b"a"), (b"set-cookie", b"b")]


@pytest.mark.parametrize(("status", "kept"), [(200, True), (204, False), (304, False), (404, True)])
def test_an_answer_without_a_body_has_no_length(status: int, kept: bool) -> None:
    assert (answer_headers(status, [(b"content-length", b"5")]) != []) is kept


def test_control_characters_in_an_answer_are_the_services_fault() -> None:
    with pytest.raises(UpstreamBroken):
        answer_headers(200, [(b"x-a", b"a\x00b")])


def test_the_end_of_an_answer_is_known_by_its_length_or_by_having_no_body() -> None:
    assert has_length(200, "GET", [(b"content-length", b"0")])
    assert has_length(200, "HEAD", [])
    assert has_length(304, "GET", [])
    assert not has_length(200, "GET", [])
