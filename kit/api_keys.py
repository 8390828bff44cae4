"""The file of API keys: who may come in from outside. It holds digests, never a key.

A key is 256 random bits, so one SHA-256 is enough: there is nothing to guess, and checking it costs microseconds.
"""

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ValidationError

from bureau_contracts.shapes import SubjectId
from kit.errors import Unauthenticated
from kit.identity import Principal, PrincipalKind

PREFIX = "bk_"
RELOAD_SECONDS = 1.0
"""A key that was revoked is refused everywhere within this time; one that was created is known at once."""


class ApiKey(BaseModel):
    """One key as the file knows it."""

    sha256: str
    tenant: SubjectId
    user: SubjectId
    kind: PrincipalKind = PrincipalKind.USER
    scopes: list[str] = []
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    disabled: bool = False


class _File(BaseModel):
    version: int = 1
    keys: dict[str, ApiKey] = {}


@dataclass(frozen=True)
class CreatedKey:
    """`secret` is shown once, to whoever asked for the key; nobody can read it again."""

    key_id: str
    secret: str


class ApiKeyFile:
    """The administrator's side: creates and revokes keys. Safe with several processes on one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(
        self,
        *,
        tenant: str,
        user: str,
        scopes: list[str] | None = None,
        kind: PrincipalKind | str = PrincipalKind.USER,
        expires_at: datetime | None = None,
    ) -> CreatedKey:
        """Raises pydantic.ValidationError when tenant or user are not identifiers."""
        key_id, created = secrets.token_hex(6), datetime.now(UTC)
        secret = f"{PREFIX}{key_id}_{secrets.token_urlsafe(32)}"
        entry = ApiKey(
            sha256=_digest(secret), tenant=tenant, user=user, kind=PrincipalKind(kind), scopes=scopes or [],
            created_at=created, expires_at=expires_at,
        )  # fmt: skip
        with self._locked() as content:
            content.keys[key_id] = entry
        return CreatedKey(key_id, secret)

    def disable(self, key_id: str) -> bool:
        """False when there is no such key."""
        with self._locked() as content:
            if key_id not in content.keys:
                return False
            content.keys[key_id].disabled = True
        return True

    def list(self) -> dict[str, ApiKey]:
        return _load(self._path).keys

    @contextmanager
    def _locked(self) -> Iterator[_File]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = _load(self._path)
            yield content
            temporary = self._path.with_suffix(".new")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(content.model_dump_json(indent=2))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)


class ApiKeyAuthenticator:
    """A server's side: who holds this key. Follows changes of the file; a file that cannot be read lets nobody in."""

    def __init__(
        self, path: Path, monotonic: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        self._path, self._monotonic, self._now = path, monotonic, now
        self._keys: dict[str, ApiKey] = {}
        self._loaded_as: tuple[int, int] | None = None
        self._look_again = float("-inf")

    def authenticate(self, secret: str) -> Principal:
        """Raises Unauthenticated for a key that is unknown, disabled or expired."""
        self._follow()
        key_id = secret.removeprefix(PREFIX).partition("_")[0]
        if key_id not in self._keys:
            self._follow(at_once=True)
        key = self._keys.get(key_id) if secret.startswith(PREFIX) else None
        # An unknown id is compared too, so that the time does not tell which ids exist.
        right = hmac.compare_digest(_digest(secret), key.sha256 if key else "0" * 64)
        expired = key is not None and key.expires_at is not None and key.expires_at.timestamp() <= self._now()
        if key is None or not right or key.disabled or expired:
            raise Unauthenticated("the API key is missing, unknown, disabled or expired", code="api_key_invalid")
        return Principal(key.tenant, key.user, key.kind, frozenset(key.scopes))

    def _follow(self, *, at_once: bool = False) -> None:
        if self._monotonic() < self._look_again and not at_once:
            return
        self._look_again = self._monotonic() + RELOAD_SECONDS
        try:
            status = self._path.stat()
            version = (status.st_mtime_ns, status.st_ino)
            if version != self._loaded_as:
                self._keys, self._loaded_as = _load(self._path).keys, version
        except (OSError, ValueError, ValidationError):
            self._keys, self._loaded_as = {}, None


def _load(path: Path) -> _File:
    return _File.model_validate(json.loads(path.read_text())) if path.exists() else _File()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
