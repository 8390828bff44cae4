"""Where a credential is looked for, and which subprotocols services and browsers see."""

import pytest

from gateway.auth import answered_subprotocol, credential, passed_subprotocols
from kit.errors import BadRequest, Unauthenticated


@pytest.mark.parametrize(
    "headers", [[(b"authorization", b"Bearer k")], [(b"authorization", b"BEARER  k ")], [(b"x-api-key", b" k ")]]
)
def test_a_credential_is_found_in_either_header(headers: list[tuple[bytes, bytes]]) -> None:
    assert credential({"headers": headers}) == "k"


def test_a_browsers_credential_is_found_among_its_subprotocols() -> None:
    assert credential({"headers": [], "subprotocols": ["bureau", "bureau.key.k", "v1"]}) == "k"


@pytest.mark.parametrize("headers", [[], [(b"authorization", b"Basic k")], [(b"x-api-key", b"")]])
def test_nothing_is_no_credential(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Unauthenticated):
        credential({"headers": headers})


@pytest.mark.parametrize(
    "scope",
    [
        {"headers": [(b"authorization", b"Bearer k"), (b"authorization", b"Bearer k")]},
        {"headers": [(b"authorization", b"Basic x"), (b"x-api-key", b"k")]},
        {"headers": [(b"x-api-key", b"k")], "subprotocols": ["bureau.key.k"]},
    ],
)
def test_several_credentials_are_refused_even_when_they_agree(scope: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        credential(scope)


def test_services_never_see_a_key_and_browsers_always_get_an_answer() -> None:
    offered = ["bureau", "bureau.key.k", "v1"]
    assert passed_subprotocols(offered) == ["v1"]
    assert answered_subprotocol(offered, "v1") == "v1"
    assert answered_subprotocol(offered, None) == "bureau"
    assert answered_subprotocol(["other"], None) is None
