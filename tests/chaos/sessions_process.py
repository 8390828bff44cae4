"""A sessions service on a port that stays the same, for tests that kill it."""

import asyncio
import os
from contextlib import ExitStack

import httpx

from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalSigner, generate_keypair
from tests.chaos.forks import forked
from tests.servers import closed_url, port_of

START_SECONDS = 30
ANNA = Principal("acme", "anna")

_PRIVATE, _PUBLIC = generate_keypair()
_SIGNER = PrincipalSigner(_PRIVATE, "tests")


def identity() -> dict[str, str]:
    """The header that makes a request Anna's, for a minute."""
    return {PRINCIPAL_HEADER: _SIGNER.sign(ANNA, "sessions")}


class SessionsProcess:
    def __init__(self, database_url: str) -> None:
        self.url = closed_url()
        self._environment = {
            "BUREAU_IDENTITY_PUBLIC_KEYS": _PUBLIC,
            "BUREAU_LOG_LEVEL": "error",
            "SESSIONS_PORT": str(port_of(self.url)),
            "SESSIONS_DATABASE_URL": database_url,
            "SESSIONS_MAX_MESSAGES_PER_MINUTE": "0",
        }
        self._running = ExitStack()

    async def start(self) -> None:
        """Returns when its store answers."""
        pid = self._running.enter_context(forked("services.sessions", self._environment))
        async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(base_url=self.url, timeout=5) as client:
            while True:
                try:
                    if (await client.get("/health")).status_code == 200:
                        return
                except httpx.TransportError:
                    os.kill(pid, 0)  # fails when it has ended instead
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """With signal 9; nothing when it does not run."""
        self._running.close()
