"""What the guard lets through and what it refuses, without a server in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guard import MAX_HEAD_BYTES, check_headers, check_path
from kit.errors import BadRequest, Refusal


def scope(*headers: tuple[bytes, bytes], version: str = "1.1") -> dict[str, object]:
    return {"raw_path": b"/", "query_string": b"", "headers": list(headers), "http_version": version}


@pytest.mark.parametrize("path", [b"/", b"/a", b"/a/", b"/a.b/..c/d..", b"/%C3%A4", b"/a%2Eb", b"/%7Eu", b"/.hidden"])
def test_an_ordinary_path_passes(path: bytes) -> None:
    check_path(path)


@pytest.mark.parametrize(
    "path", [b"", b"a", b"*", b"/..", b"/a/%2E./b", b"/%2e", b"//", b"/a//b", b"/a%2fb", b"/%7f", b"/\xc3\xa4", b"/%C3"]
)
def test_a_path_with_two_readings_is_refused(path: bytes) -> None:
    with pytest.raises(BadRequest):
        check_path(path)


@given(st.binary(max_size=40))
def test_no_bytes_in_a_path_do_worse_than_being_refused(path: bytes) -> None:
    try:
        check_path(b"/" + path)
    except Refusal:
        return
    assert b"//" not in b"/" + path
    assert not {b".", b".."} & set((b"/" + path).replace(b"%2e", b".").replace(b"%2E", b".").split(b"/"))


def test_the_head_may_be_as_large_as_the_limit_and_no_larger() -> None:
    host = (b"host", b"x")
    fixed = 1 + len(b"hostx") + 4 + len(b"a") + 4
    check_headers(scope(host, (b"a", b"x" * (MAX_HEAD_BYTES - fixed))))
    with pytest.raises(Refusal, match="are read"):
        check_headers(scope(host, (b"a", b"x" * (MAX_HEAD_BYTES - fixed + 1))))


def test_only_an_old_client_may_leave_the_host_out() -> None:
    check_headers(scope(version="1.0"))
    with pytest.raises(BadRequest):
        check_headers(scope())


@pytest.mark.parametrize("host", [b"example.org", b"example.org:8080", b"127.0.0.1:1", b"[::1]:8080", b"a_b.c"])
def test_hosts_of_every_form_pass(host: bytes) -> None:
    check_headers(scope((b"host", host)))


@pytest.mark.parametrize("host", [b"", b"a b", b"a/b", b"user@a", b"a:b", b"a,b", b"[::1", b"a:123456"])
def test_what_is_no_host_is_refused(host: bytes) -> None:
    with pytest.raises(BadRequest):
        check_headers(scope((b"host", host)))
