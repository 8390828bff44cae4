"""Which machines this process may be sent to by a URL that somebody wrote into a record.

Whoever may write records makes this process call an address of their choice; in a network where that matters, name
the hosts. Link-local addresses, where clouds answer with credentials, are refused always. A name is looked up here and
again by the client that connects, so a name server that lies in between is not guarded against: a list of hosts is.
"""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

LOOKUP_SECONDS = 3.0


class NotAllowed(Exception):
    """This address is not called. The message says why."""


class Destinations:
    def __init__(self, hosts: Sequence[str] = (), *, setting: str = "") -> None:
        """`hosts`: names as they stand in URLs; ``*.example.com`` is every name below. None: any host. `setting` is
        the variable that names them, for whoever is refused."""
        self._hosts, self._setting = tuple(host.lower() for host in hosts), setting

    async def permit(self, url: str) -> None:
        """Raises NotAllowed, and OSError for a name that nobody knows."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise NotAllowed("its URL is not one") from error
        if not host or parts.scheme not in ("http", "https"):
            raise NotAllowed("its URL names no host")
        if self._hosts and not any(_matches(host, each) for each in self._hosts):
            raise NotAllowed(f"the host {host} is not among those that may be called ({self._setting})")
        async with asyncio.timeout(LOOKUP_SECONDS):
            try:
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except UnicodeError as error:
                raise NotAllowed("its URL names no host") from error
        for *_, address in found:
            ip = ip_address(str(address[0]).partition("%")[0])
            mapped = getattr(ip, "ipv4_mapped", None) or ip
            if mapped.is_link_local:
                raise NotAllowed(f"the host {host} has a link-local address; those are never called")


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
