"""Clients of Redis that fail fast: time-outs are short and retries belong to the caller.

Whether there is one server, a primary behind Sentinels or a cluster (kit/redis_url.py), a client is used as redis-py's
`Redis` is. For a cluster the keys of one script or transaction must have one hash tag; subscribers hear all nodes.
"""

import asyncio
from typing import Any, cast

import redis as blocking
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode as BlockingNode
from redis.exceptions import ClusterDownError, ReadOnlyError, RedisClusterException, RedisError
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import TimeoutError as NoAnswer
from redis.retry import Retry as BlockingRetry
from redis.sentinel import Sentinel as BlockingSentinel

from kit.redis_url import RedisUrl, Shape, read_url

# redis-py has not typed them.
_Sentinel: Any = Sentinel
_BlockingSentinel: Any = BlockingSentinel
_BlockingNode: Any = BlockingNode

CONNECT_SECONDS = 2.0
SENTINEL_SECONDS = 0.5
"""How long one Sentinel is waited for before the next one is asked."""
REDIS_FAILURES = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What a call may raise. Some of redis-py's errors about clusters are no RedisError."""

_GONE = (NotConnected, NoAnswer, ClusterDownError)


def connect(url: str, *, timeout_seconds: float | None = 2.0, connections: int = 50) -> "Redis":
    """Opens nothing yet. `timeout_seconds` None is for a connection that blocks on purpose (XREADGROUP, SUBSCRIBE).

    `connections` at most to one server. Raises ValueError when the URL cannot be read.
    """
    place = read_url(url)
    once = Retry(NoBackoff(), 0)
    options = _options(place, timeout_seconds) | {"retry": once, "max_connections": connections}
    if place.shape is Shape.CLUSTER:
        cluster = _Cluster(startup_nodes=[ClusterNode(*host) for host in place.hosts], ssl=place.tls, **options)
        # It has all methods that we call; redis-py has no type for what both have.
        return cast("Redis", cluster)
    if place.shape is Shape.SENTINEL:
        sentinel: Any = _Sentinel(place.hosts, sentinel_kwargs=_for_sentinels(place, once), **options)
        client: Redis = sentinel.master_for(place.primary, redis_class=_BehindSentinels, ssl=place.tls)
        pools = [client.connection_pool, *(each.connection_pool for each in sentinel.sentinels)]
    else:
        client = Redis.from_url(url, **options)
        pools = [client.connection_pool]
    for pool in pools:
        pool.connection_class = _mended(pool.connection_class)
    return client


def connect_blocking(url: str, *, timeout_seconds: float) -> "blocking.Redis":
    """The same for a thread of its own. In a cluster it connects at once, and raises one of REDIS_FAILURES."""
    place = read_url(url)
    once = BlockingRetry(NoBackoff(), 0)
    options = _options(place, timeout_seconds) | {"retry": once}
    if place.shape is Shape.CLUSTER:
        nodes = [_BlockingNode(*host) for host in place.hosts]
        return cast("blocking.Redis", blocking.RedisCluster(startup_nodes=nodes, ssl=place.tls, **options))
    if place.shape is Shape.SENTINEL:
        sentinel = _BlockingSentinel(place.hosts, sentinel_kwargs=_for_sentinels(place, once), **options)
        return cast("blocking.Redis", sentinel.master_for(place.primary, ssl=place.tls))
    return blocking.Redis.from_url(url, **options)


def known_url(url: str) -> str:
    """The same, for settings. Raises ValueError when `connect` would, or when it has options that nobody knows."""
    try:
        client: Any = connect(url)
        source = client.startup_nodes[0] if isinstance(client, RedisCluster) else client.connection_pool
        source.connection_class(**source.connection_kwargs)
    except (TypeError, RedisError):
        raise ValueError("has an option, or a value of one, that redis-py does not take") from None
    return url


async def drop_idle(redis: "Redis") -> None:
    """Closes what is open and not in use: after an outage those connections would fail one after the other."""
    client: object = redis
    if isinstance(client, RedisCluster):
        for node in client.get_nodes():
            await node.disconnect_free_connections()
    else:
        await redis.connection_pool.disconnect(inuse_connections=False)


async def at_home_of(redis: "Redis", key: str) -> dict[str, Any]:
    """Arguments that send a command without keys to the server that holds `key`."""
    client: object = redis
    if not isinstance(client, RedisCluster):
        return {}
    await client.initialize()
    return {"target_nodes": client.get_node_from_key(key)}


def _options(place: RedisUrl, timeout_seconds: float | None) -> dict[str, Any]:
    """What the URL says wins, as it does within redis-py."""
    times = {"socket_timeout": timeout_seconds, "socket_connect_timeout": CONNECT_SECONDS}
    ours = {"decode_responses": True, "health_check_interval": 0, **times}
    return ours if place.shape is Shape.SERVER else ours | place.options


def _for_sentinels(place: RedisUrl, retry: object) -> dict[str, Any]:
    """They have a login of their own, and the certificates of the servers."""
    tls = {name: value for name, value in place.options.items() if name.startswith("ssl_")}
    times = {"socket_timeout": SENTINEL_SECONDS, "socket_connect_timeout": SENTINEL_SECONDS}
    return {"decode_responses": True, "retry": retry, "ssl": place.tls, **tls, **times, **place.sentinel_login}


class _BehindSentinels(Redis):
    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Also its connections to the Sentinels, which redis-py leaves to whoever made them."""
        await super().aclose(close_connection_pool)
        await cast(Any, self.connection_pool).sentinel_manager.aclose()


class _Cluster(RedisCluster):
    def __init__(self, **options: Any) -> None:
        # 0: a MOVED changes what is known of that slot. Else every fifth closes all connections, also those in use.
        super().__init__(reinitialize_steps=0, **options)
        # There is no argument for it; these are what connections are made from.
        kind = _mended(self.connection_kwargs["connection_class"])
        self.connection_kwargs["connection_class"] = kind
        for node in self.startup_nodes:
            node.connection_class = cast(Any, kind)

    async def __aenter__(self) -> "_Cluster":
        """Opens nothing yet: a service starts also while its cluster is away."""
        await self._increment_usage()
        return self

    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        # Before redis-py looks where the command goes: while it knows no node it takes any.
        await self.initialize()
        return await super().execute_command(*arguments, **options)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> "_ClusterPipeline":
        return cast("_ClusterPipeline", cast(Any, _ClusterPipeline)(self, transaction))

    def look_again(self) -> None:
        """With the next call: who is there, and who holds what."""
        self._initialize = True

    async def _determine_slot(self, command: str, *arguments: Any) -> int:
        """Of FCALL as of EVAL, which is written alike: else redis-py asks a node for its keys, each time."""
        return await super()._determine_slot("EVAL" if command.upper() == "FCALL" else command, *arguments)


class _ClusterPipeline(ClusterPipeline):
    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        """redis-py looks for the new primary when a single command failed, but not when a pipeline did."""
        answers: list[Any] = []
        try:
            answers = await super().execute(raise_on_error, allow_redirections)
        except Exception as error:
            answers = [error]
            raise
        finally:
            if any(isinstance(answer, _GONE) for answer in answers):
                cast(_Cluster, self.cluster_client).look_again()
        return answers


class _Mended(AbstractConnection):
    """A connection that can be cancelled, and that lets go of a server that is no primary any more.

    redis-py sends by `asyncio.wait_for`, which in Python 3.11 swallows a cancellation that comes in the moment in which
    all is sent (python/cpython#86296), and makes a task for every command.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        # Without a time-out redis-py sends as it is: the time-out is then this one.
        seconds, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(seconds):
                await super().send_packed_command(command, check_health)
        except TimeoutError:
            raise NoAnswer("Timeout writing to socket") from None
        finally:
            self.socket_timeout = seconds

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except ReadOnlyError:
            # Whoever connects anew may be led to the new primary: by a name, an address that moves, or Sentinels.
            await self.disconnect()
            raise


def _mended(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    return type(f"Mended{kind.__name__}", (_Mended, kind), {})
