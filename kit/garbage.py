"""Python's collector of cycles, for work that makes very many objects which stay.

A full collection looks at every object while all threads stand still: a quarter of a second for ten thousand records,
again and again while they come to be. Records are no cycles, so there is nothing to find among them.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_that_stay() -> Iterator[None]:
    """Nothing is collected in the block, and what is there afterwards is not looked at again. Objects are still freed
    as soon as nobody refers to them; cycles that become garbage within the block are never found, so keep it for
    seconds, and for rare ones."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
