"""Says what a failure of Redis means to us: it is away for now (StoreAway), or a mistake of ours (as it is)."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from services.jobs.errors import StoreAway

# OutOfMemory is noeviction at work: Redis refuses writes and keeps what it has. The last two are of a cluster whose
# nodes cannot be reached, or do not agree.
_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
    exceptions.ClusterError,
    exceptions.RedisClusterException,
)
_REFUSED = ("NOREPLICAS", "MISCONF", "UNBLOCKED", "BUSY ")
"""Errors without a class of their own: too few replicas (`min-replicas-to-write`), a disk that takes no more, a primary
that became a replica while somebody waited at it, a script that does not end."""


@contextmanager
def store_away() -> Iterator[None]:
    """Within the block, Redis' being away is StoreAway."""
    try:
        yield
    except _AWAY as error:
        raise StoreAway(f"the jobs' store does not answer ({type(error).__name__})") from error
    except exceptions.ResponseError as error:
        if not str(error).startswith(_REFUSED):
            raise
        raise StoreAway(f"the jobs' store takes nothing ({str(error).split(maxsplit=1)[0]})") from error
