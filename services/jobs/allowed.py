"""Which addresses `http` steps may call. Knows no request and no setting's name."""

from collections.abc import Iterable
from urllib.parse import unquote

import httpx


def addresses(written: str) -> list[str]:
    """Of a setting that separates them by commas."""
    return [each.strip() for each in written.split(",") if each.strip()]


class Allowed:
    """Addresses by the beginning that they must have: scheme, host and port alike, and the path or what is below it."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        """Raises ValueError for what is no http address."""
        self._prefixes = [_parsed(prefix) for prefix in prefixes]

    def __contains__(self, url: str) -> bool:
        try:
            wanted = _parsed(url)
        except ValueError:
            return False
        if any(segment in (".", "..") for segment in unquote(wanted.path).split("/")) or wanted.userinfo:
            return False
        return any(_below(wanted, prefix) for prefix in self._prefixes)


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ValueError(f"{url!r} is no address") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{url!r} is no http address")
    return parsed


def _below(url: httpx.URL, prefix: httpx.URL) -> bool:
    if (url.scheme, url.host, _port(url)) != (prefix.scheme, prefix.host, _port(prefix)):
        return False
    path = prefix.path.rstrip("/")
    return url.path == path or url.path.startswith(f"{path}/")


def _port(url: httpx.URL) -> int:
    return url.port or {"http": 80, "https": 443}[url.scheme]
