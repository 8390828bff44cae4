"""Who is calling. A principal is verified once, at the gateway, and travels on as a signed, short-lived token.

The token is a JWT signed with Ed25519, bound to one service (`aud`) and at most a minute old. Only those who hold a
private key can make one; a service that only verifies cannot forge. Verified tokens are remembered until they expire.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kit.errors import Forbidden, Unauthenticated

PRINCIPAL_HEADER = "x-bureau-principal"
MAX_AGE_SECONDS = 60
CLOCK_SKEW_SECONDS = 5
REMEMBERED_TOKENS = 4096

K = TypeVar("K")
V = TypeVar("V")

TENANT_WIDE = "tenant"
"""Scope: may read and act for any user of its own tenant."""
ADMIN = "admin"
"""Scope: may do everything within its own tenant."""
OPERATOR = "operator"
"""Scope: runs this Bureau, and sees how much it has to do for all tenants, but nothing of what. Not part of ADMIN."""


class PrincipalKind(StrEnum):
    USER = "user"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose row is written."""

    tenant: str
    user: str


@dataclass(frozen=True, slots=True)
class Reach:
    """Which rows a call may see. `user` None means every user of the tenant; only `Principal.reach` makes that."""

    tenant: str
    user: str | None


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller."""

    tenant: str
    subject: str
    kind: PrincipalKind = PrincipalKind.USER
    scopes: frozenset[str] = field(default_factory=frozenset)

    def may(self, scope: str) -> bool:
        return scope in self.scopes or ADMIN in self.scopes

    def require(self, scope: str) -> None:
        """Raises Forbidden unless the principal has the scope."""
        if not self.may(scope):
            raise Forbidden(f"this needs the scope {scope!r}", code="scope_missing")

    def owner(self, user: str | None = None) -> Owner:
        """Whose row this caller writes: its own, or with a tenant-wide scope the named user's."""
        self._check_user(user)
        return Owner(self.tenant, user or self.subject)

    def reach(self, user: str | None = None) -> Reach:
        """Which rows this caller sees: its own; with a tenant-wide scope the named user's, or everybody's."""
        self._check_user(user)
        if self.may(TENANT_WIDE):
            return Reach(self.tenant, user)
        return Reach(self.tenant, self.subject)

    def acting_for(self, user: str | None) -> "Principal":
        """The principal that calls other services on this one's behalf, as the named user."""
        owner = self.owner(user)
        if owner.user == self.subject:
            return self
        return Principal(owner.tenant, owner.user, PrincipalKind.USER, self.scopes - {ADMIN, TENANT_WIDE})

    def _check_user(self, user: str | None) -> None:
        if user is not None and user != self.subject and not self.may(TENANT_WIDE):
            raise Forbidden("user_id: only a tenant-wide scope may name another user", code="other_user")


_current: ContextVar[Principal | None] = ContextVar("principal", default=None)


def current_principal() -> Principal:
    """On whose behalf this code runs. Raises Unauthenticated when on nobody's: there is no default."""
    principal = _current.get()
    if principal is None:
        raise Unauthenticated("no principal: nobody's request is being answered")
    return principal


@contextmanager
def acting_as(principal: Principal) -> Iterator[None]:
    """Everything in the block, calls to other services too, happens on this principal's behalf."""
    undo = _current.set(principal)
    try:
        yield
    finally:
        _current.reset(undo)


class PrincipalSigner:
    """Makes tokens. The same principal gets the same token for half its life: a signature costs more than a lookup."""

    def __init__(self, private_key_pem: str, issuer: str, now: Callable[[], float] = time.time) -> None:
        key = serialization.load_pem_private_key(private_key_pem.encode(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError("an Ed25519 private key is needed")
        self._key, self._issuer, self._now = key, issuer, now
        self._made: OrderedDict[tuple[Principal, str], tuple[str, float]] = OrderedDict()

    def sign(self, principal: Principal, audience: str) -> str:
        now = self._now()
        token, until = self._made.get((principal, audience), ("", 0.0))
        if now >= until or until - now > MAX_AGE_SECONDS:
            token, until = self._encode(principal, audience, now), now + MAX_AGE_SECONDS / 2
            _remember(self._made, (principal, audience), (token, until))
        return token

    def _encode(self, principal: Principal, audience: str, now: float) -> str:
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "sub": principal.subject,
            "tenant": principal.tenant,
            "kind": principal.kind,
            "scopes": sorted(principal.scopes),
            "iat": int(now),
            "exp": int(now) + MAX_AGE_SECONDS,
        }
        return jwt.encode(claims, self._key, algorithm="EdDSA")


class PrincipalVerifier:
    """Believes tokens that one of the given public keys signed for this audience within the last minute."""

    def __init__(self, public_keys_pem: str, audience: str, now: Callable[[], float] = time.time) -> None:
        self._keys = _load_public_keys(public_keys_pem)
        self._audience, self._now = audience, now
        self._verified: OrderedDict[str, tuple[Principal, float]] = OrderedDict()

    def verify(self, token: str) -> Principal:
        """Raises Unauthenticated; the message never says which part did not hold."""
        now = self._now()
        principal, until = self._verified.get(token, (None, 0.0))
        if principal is None or not until - MAX_AGE_SECONDS - CLOCK_SKEW_SECONDS <= now < until:
            principal, until = self._decode(token, now)
            _remember(self._verified, token, (principal, until))
        return principal

    def _decode(self, token: str, now: float) -> tuple[Principal, float]:
        for key in self._keys:
            try:
                claims = jwt.decode(
                    token, key, algorithms=["EdDSA"], audience=self._audience,
                    options={"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "sub", "aud"]},
                )  # fmt: skip
                issued, expires = float(claims["iat"]), float(claims["exp"])
                fresh = issued - CLOCK_SKEW_SECONDS <= now < expires and expires - issued <= MAX_AGE_SECONDS
                if fresh and claims["tenant"] and claims["sub"]:
                    kind, scopes = PrincipalKind(claims["kind"]), frozenset(map(str, claims["scopes"]))
                    return Principal(str(claims["tenant"]), str(claims["sub"]), kind, scopes), expires
            except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
                continue
        raise Unauthenticated("the identity of this request is missing, forged, expired or meant for another service")


def generate_keypair() -> tuple[str, str]:
    """A new Ed25519 key pair as PEM: (private, public)."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def _load_public_keys(pem: str) -> list[Ed25519PublicKey]:
    end = "-----END PUBLIC KEY-----"
    keys = []
    for block in pem.split(end):
        if block.strip():
            key = serialization.load_pem_public_key((block.strip() + "\n" + end + "\n").encode())
            if not isinstance(key, Ed25519PublicKey):
                raise TypeError("an Ed25519 public key is needed")
            keys.append(key)
    return keys


def _remember(cache: OrderedDict[K, V], key: K, value: V) -> None:
    cache[key] = value
    if len(cache) > REMEMBERED_TOKENS:
        cache.popitem(last=False)
