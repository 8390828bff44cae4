"""Where a session service URI points, and with which key. The key never stands in the URI: URIs are logged."""

import ipaddress
import os
from urllib.parse import urlsplit

from bureau.cli.settings import Address, NotConfigured
from bureau.cli.settings import address as local_address

SCHEME = "bureau"
SCHEMES = {SCHEME: None, "bureau+http": "http", "bureau+https": "https"}
"""ADK's scheme, and what is spoken. `bureau` is https, but http to this very machine."""


def address_of(uri: str) -> Address:
    """`bureau://host:port`; with no host, where the command line finds Bureau. The key is BUREAU_API_KEY.

    Raises ValueError for what is no such URI, NotConfigured when there is no key.
    """
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"a session service URI of Bureau starts with one of {', '.join(SCHEMES)}")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("a session service URI of Bureau is bureau://host:port; the key goes into BUREAU_API_KEY")
    if parts.hostname is None:
        return local_address()
    if not (api_key := os.environ.get("BUREAU_API_KEY")):
        raise NotConfigured("BUREAU_API_KEY is not set")
    spoken = SCHEMES[parts.scheme] or ("http" if _is_here(parts.hostname) else "https")
    return Address(f"{spoken}://{parts.netloc}{parts.path.rstrip('/')}", api_key)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
