"""Loopback ports: a free one for a store, and who sits on the one a service needs."""

import socket
from collections.abc import Mapping

import psutil

from deploy.local.errors import PortInUse


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on right now. Somebody may take it before its user does: callers try again."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(wanted: Mapping[str, tuple[str, int]]) -> None:
    """Raises PortInUse, naming every taken port and its holder. `wanted` maps a process to its (host, port)."""
    taken = [(name, port) for name, (host, port) in wanted.items() if not _is_free(host, port)]
    if not taken:
        return
    lines = [f"port {port}, wanted by {name}, is in use by {_holder(port)}" for name, port in taken]
    raise PortInUse("\n".join([*lines, "stop it, or choose another BUREAU_PORT (the services' ports move with it)"]))


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections that are still closing don't count as somebody listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _holder(port: int) -> str:
    """Pid and command of who listens on `port`, as far as the system tells us."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.pid
            if listens and tuple(connection.laddr)[1:2] == (port,):
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"pid {connection.pid}: {command[:120]}"
    except psutil.Error:
        pass  # macOS tells only root; a process may also end while we look
    return "another user's process"
