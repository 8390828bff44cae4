"""Says what a failure of Redis means to us: it is away for now (StoreAway), or a mistake of ours (as it is)."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from services.jobs.errors import StoreAway

# OutOfMemory is noeviction at work: Redis refuses writes and keeps what it has.
_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
)


@contextmanager
def store_away() -> Iterator[None]:
    """Within the block, Redis' being away is StoreAway."""
    try:
        yield
    except _AWAY as error:
        raise StoreAway(f"the jobs' store does not answer ({type(error).__name__})") from error
