"""Reads where a Redis is: one server, a primary that Sentinels watch, or a cluster. Connects to nobody.

    redis://user:password@host:6379/0          rediss://… with TLS          unix:///path/to/socket
    redis+sentinel://user:password@host:26379,host:26379/<name of the primary>/0           rediss+sentinel://…
    redis+cluster://user:password@host:6379,host:6379                                      rediss+cluster://…

redis-py reads the first line; it has no form for the others, and these are those that other projects have. What stands
in front of the `@` is for the servers that hold the data; to Sentinels that want a login, `?sentinel_username=…` and
`sentinel_password=…` are given. All other options are redis-py's own: `ssl_ca_certs`, `socket_connect_timeout` …
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

from redis.asyncio.connection import parse_url

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+)(?::(?P<port>\d{1,5}))?")
_OURS = ("connection_class", "host", "port", "sentinel_username", "sentinel_password")


class Shape(StrEnum):
    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True)
class RedisUrl:
    shape: Shape
    hosts: list[tuple[str, int]]
    """Where to ask first: the server, the Sentinels, or some nodes. None for a socket in the file system."""
    primary: str
    """What the Sentinels call it."""
    tls: bool
    options: dict[str, Any]
    """redis-py's arguments for connections to who holds the data: login, database, and what else was asked for."""
    sentinel_login: dict[str, Any]


def read_url(url: str) -> RedisUrl:
    """Raises ValueError, whose message shows nothing of a password."""
    scheme, separator, rest = url.partition("://")
    base, plus, kind = scheme.lower().partition("+")
    if not separator or base not in ("redis", "rediss", "unix"):
        raise ValueError("must begin with redis:// or rediss://, or with redis+sentinel:// or redis+cluster://")
    if base == "unix" and not plus:
        return RedisUrl(Shape.SERVER, [], "", False, _options(url), {})
    if plus and (kind not in ("sentinel", "cluster") or base == "unix"):
        raise ValueError("after redis+ or rediss+ comes sentinel:// or cluster://")
    shape = Shape(kind) if plus else Shape.SERVER
    rest, question, query = rest.partition("?")
    place, _, path = rest.partition("/")
    login, at, hosts = place.rpartition("@")
    primary, database = _path(shape, [unquote(part) for part in path.split("/") if part])
    found = _options(f"{base}://{login}{at}server/{database}{question}{query}")
    if shape is Shape.CLUSTER and found.pop("db"):
        raise ValueError("a cluster has one database, 0")
    return RedisUrl(
        shape=shape,
        hosts=_hosts(hosts, shape),
        primary=primary,
        tls=base == "rediss",
        options={name: value for name, value in found.items() if name not in _OURS},
        sentinel_login={name: found.get(f"sentinel_{name}") for name in ("username", "password")},
    )


def _path(shape: Shape, parts: list[str]) -> tuple[str, int]:
    """The primary's name and the database."""
    primary = ""
    if shape is Shape.SENTINEL:
        if not parts:
            raise ValueError("lacks the primary's name behind the Sentinels: redis+sentinel://host,host/<name>")
        primary, *parts = parts
    if len(parts) > 1 or not all(part.isdecimal() for part in parts):
        raise ValueError("must end with the number of a database")
    return primary, int(parts[0]) if parts else 0


def _hosts(written: str, shape: Shape) -> list[tuple[str, int]]:
    hosts = []
    for part in written.split(","):
        found = _HOST.fullmatch(part)
        if not found or not 0 < int(found["port"] or 1) < 65_536:
            raise ValueError("names no host:port; a password's special characters must be percent-encoded")
        port = int(found["port"] or (26379 if shape is Shape.SENTINEL else 6379))
        hosts.append((found["name"].strip("[]"), port))
    if shape is Shape.SERVER and len(hosts) > 1:
        raise ValueError("names several servers: that is redis+sentinel:// or redis+cluster://")
    return hosts


def _options(url: str) -> dict[str, Any]:
    try:
        return {"db": 0, **parse_url(url)}
    except ValueError:
        # redis-py's message may quote a part of the password.
        raise ValueError("has an option that cannot be read, or a password that is not percent-encoded") from None
