"""Whether a pid still stands for a running program."""

import psutil


def is_alive(pid: int) -> bool:
    """A zombie is not: it ended, and where nobody reaps (a container without an init) it stays for ever."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
