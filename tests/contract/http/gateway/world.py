"""A gateway on loopback with real small servers behind it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from gateway.app import create_app
from gateway.settings import Settings
from kit.api_keys import ApiKeyFile
from kit.certificates import trusted
from kit.identity import PrincipalVerifier, generate_keypair
from kit.settings import CommonSettings
from tests.contract.http.gateway.service import RawService, Service
from tests.servers import closed_url, listening, serving

MAX_BODY_BYTES = 1024 * 1024


@dataclass
class Keys:
    private: str
    public: str
    file: Path
    api_key: str

    def principal_of(self, token: str, audience: str) -> tuple[str, str]:
        principal = PrincipalVerifier(self.public, audience).verify(token)
        return principal.tenant, principal.subject


@dataclass
class World:
    """`/registry` and `/agent` reach `service`, `/sessions` reaches `raw`, `/memory` nobody."""

    url: str
    service_url: str
    service: Service
    raw: RawService
    keys: Keys

    @property
    def authorized(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys.api_key}"}

    @property
    def websocket(self) -> str:
        return self.url.replace("http://", "ws://")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(
            base_url=self.url, headers=self.authorized, timeout=20, verify=trusted()
        ) as client:
            yield client

    def head(self, target: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
        """A request's head, byte for byte as it is given, of a caller who is let in."""
        lines = [f"{method} {target} HTTP/{version}", f"Authorization: Bearer {self.keys.api_key}", "Connection: close"]
        return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")


def make_keys(folder: Path) -> Keys:
    private, public = generate_keypair()
    file = folder / "keys.json"
    return Keys(private, public, file, ApiKeyFile(file).create(tenant="acme", user="ada").secret)


@asynccontextmanager
async def make_world(keys: Keys, **settings: Any) -> AsyncIterator[World]:
    service, raw = Service(), RawService()
    async with AsyncExitStack() as stack:
        service_url = await stack.enter_async_context(serving(service))
        raw_url = await stack.enter_async_context(listening(raw))
        common = CommonSettings(identity_private_key=SecretStr(keys.private), keys_file=keys.file)
        away = closed_url()
        values: dict[str, Any] = {
            "common": common,
            "max_body_bytes": MAX_BODY_BYTES,
            "registry_url": service_url,
            "runtime_url": service_url,
            "sessions_url": raw_url,
            **dict.fromkeys(("memory_url", "jobs_url", "evaluation_url"), away),
            **settings,
        }
        url = await stack.enter_async_context(serving(create_app(Settings(**values))))
        yield World(url, service_url, service, raw, keys)
