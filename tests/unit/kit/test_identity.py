"""Principals: what a token must be to be believed, and what a caller may reach."""

import jwt
import pytest

from kit.errors import Forbidden, Unauthenticated
from kit.identity import (
    ADMIN,
    MAX_AGE_SECONDS,
    TENANT_WIDE,
    Owner,
    Principal,
    PrincipalSigner,
    PrincipalVerifier,
    Reach,
    acting_as,
    current_principal,
    generate_keypair,
)

PRIVATE, PUBLIC = generate_keypair()
ADA = Principal("acme", "ada")


class Time:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def signer(time: Time) -> PrincipalSigner:
    return PrincipalSigner(PRIVATE, "gateway", now=time)


@pytest.fixture
def verifier(time: Time) -> PrincipalVerifier:
    return PrincipalVerifier(PUBLIC, "sessions", now=time)


def test_a_signed_principal_comes_back_whole(signer: PrincipalSigner, verifier: PrincipalVerifier) -> None:
    principal = Principal("acme", "ada", scopes=frozenset({"registry:write"}))
    assert verifier.verify(signer.sign(principal, "sessions")) == principal


def test_a_token_for_another_service_is_refused(signer: PrincipalSigner, verifier: PrincipalVerifier) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(signer.sign(ADA, "memory"))


def test_a_token_is_refused_after_a_minute_also_when_it_was_believed_before(
    signer: PrincipalSigner, verifier: PrincipalVerifier, time: Time
) -> None:
    token = signer.sign(ADA, "sessions")
    assert verifier.verify(token) == ADA
    time.now += MAX_AGE_SECONDS
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def test_a_token_from_the_future_is_refused(signer: PrincipalSigner, verifier: PrincipalVerifier, time: Time) -> None:
    token = signer.sign(ADA, "sessions")
    time.now -= 30
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def test_the_same_principal_gets_the_same_token_until_half_of_its_life_is_over(
    signer: PrincipalSigner, time: Time
) -> None:
    token = signer.sign(ADA, "sessions")
    time.now += MAX_AGE_SECONDS / 2 - 1
    assert signer.sign(ADA, "sessions") == token
    time.now += 2
    assert signer.sign(ADA, "sessions") != token


def test_a_token_signed_with_another_key_is_refused(verifier: PrincipalVerifier, time: Time) -> None:
    stranger, _ = generate_keypair()
    with pytest.raises(Unauthenticated):
        verifier.verify(PrincipalSigner(stranger, "gateway", now=time).sign(ADA, "sessions"))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\x00", "é.é.é"])
def test_what_is_not_a_token_is_refused(verifier: PrincipalVerifier, token: str) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def claims(time: Time, **changes: object) -> dict[str, object]:
    now = int(time.now)
    return {
        "aud": "sessions", "sub": "ada", "tenant": "acme", "kind": "user", "scopes": [], "iat": now, "exp": now + 60,
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{"tenant": ""}, {"sub": ""}, {"kind": "god"}, {"scopes": None}, {"exp": 4_000_000_000}, {"tenant": None}],
)
def test_a_well_signed_token_with_wrong_claims_is_refused(
    verifier: PrincipalVerifier, time: Time, changes: dict[str, object]
) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(jwt.encode(claims(time, **changes), PRIVATE, algorithm="EdDSA"))


def test_an_unsigned_token_is_refused(verifier: PrincipalVerifier, time: Time) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(jwt.encode(claims(time), "", algorithm="none"))


def test_without_public_keys_nobody_is_believed(signer: PrincipalSigner, time: Time) -> None:
    with pytest.raises(Unauthenticated):
        PrincipalVerifier("", "sessions", now=time).verify(signer.sign(ADA, "sessions"))


def test_two_public_keys_are_believed_while_one_replaces_the_other(time: Time) -> None:
    new_private, new_public = generate_keypair()
    verifier = PrincipalVerifier(PUBLIC + "\n" + new_public, "sessions", now=time)
    for private in (PRIVATE, new_private):
        assert verifier.verify(PrincipalSigner(private, "gateway", now=time).sign(ADA, "sessions")) == ADA


def test_a_user_reaches_only_itself() -> None:
    assert ADA.reach() == Reach("acme", "ada")
    assert ADA.owner() == Owner("acme", "ada")
    for call in (ADA.reach, ADA.owner, ADA.acting_for):
        with pytest.raises(Forbidden):
            call("grace")


@pytest.mark.parametrize("scope", [TENANT_WIDE, ADMIN])
def test_a_tenant_wide_scope_reaches_every_user_of_its_tenant(scope: str) -> None:
    principal = Principal("acme", "ops", scopes=frozenset({scope}))
    assert principal.reach() == Reach("acme", None)
    assert principal.reach("ada") == Reach("acme", "ada")
    assert principal.owner("ada") == Owner("acme", "ada")


def test_acting_for_a_user_leaves_wide_scopes_behind() -> None:
    acting = Principal("acme", "ops", scopes=frozenset({ADMIN, "registry:write"})).acting_for("ada")
    assert acting == Principal("acme", "ada", scopes=frozenset({"registry:write"}))


def test_nobody_acts_outside_of_a_request() -> None:
    with pytest.raises(Unauthenticated):
        current_principal()
    with acting_as(ADA):
        assert current_principal() is ADA
    with pytest.raises(Unauthenticated):
        current_principal()
