"""Ports of this worker's own, below the range that the kernel gives away: nobody else is given one in between."""

import itertools
import os
import random
import socket
from collections.abc import Iterator

LAUNCHERS = range(20_000, 26_000)
OTHERS = range(26_000, 32_000)


def mine(ports: range) -> range:
    """This worker's part of them: those that run the suite together share nothing."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    each = len(ports) // workers
    return ports[number * each : (number + 1) * each]


def _in_turn(ports: range) -> Iterator[int]:
    """From anywhere, since another run may go on beside this one."""
    start = random.randrange(len(ports))
    return itertools.cycle([*ports[start:], *ports[:start]])


_turn = _in_turn(mine(OTHERS))


def free_port() -> int:
    """Where nobody listens."""
    for port in itertools.islice(_turn, len(OTHERS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free ports")
