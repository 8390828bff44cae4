"""MCP servers for tests, run as a command: a good one, and those that go wrong in one way each."""

import subprocess
import sys
import time

from mcp.server import MCPServer
from mcp.types import ToolAnnotations


def good() -> MCPServer:
    server = MCPServer("files")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def read(path: str) -> str:
        """Reads a file."""
        return path

    @server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=True))
    def delete(path: str) -> str:
        """Deletes a file."""
        return path

    @server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False))
    def append(path: str, text: str) -> str:
        """Adds to a file."""
        return path + text

    @server.tool()
    def stat(path: str) -> str:
        """Says nothing of its risk."""
        return path

    return server


def main(kind: str, *rest: str) -> None:
    if kind == "good":
        good().run("stdio")
    elif kind == "hangs":
        # Deaf to a polite end, and with a child of its own that is no better.
        subprocess.Popen([sys.executable, __file__, "child", *rest], stdin=subprocess.DEVNULL)
        deaf(rest[0] + ".server")
    elif kind == "child":
        deaf(rest[0] + ".child")
    elif kind == "garbage":
        while sys.stdin.readline():
            sys.stdout.write("<html>this is not MCP</html>\n")
            sys.stdout.flush()
    elif kind == "huge":
        while True:
            sys.stdout.write("x" * 65536)
    elif kind == "ends":
        sys.stdin.readline()
        raise SystemExit(3)
    elif kind == "environment":
        import json
        import os

        with open(rest[0], "w") as file:
            json.dump(dict(os.environ), file)


def deaf(file: str) -> None:
    import os
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(file + ".new", "w") as writing:
        writing.write(str(os.getpid()))
    os.replace(file + ".new", file)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
