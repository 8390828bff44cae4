"""A process that must not outlive its parent watches its standard input: when the parent dies, the pipe ends."""

import os
import sys
import threading
from collections.abc import Callable


def watch_lifeline(on_end: Callable[[], None]) -> None:
    """Calls `on_end`, from a thread of its own, when standard input reaches its end."""

    descriptor = sys.stdin.fileno()

    def wait() -> None:
        while os.read(descriptor, 4096):
            pass
        on_end()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
