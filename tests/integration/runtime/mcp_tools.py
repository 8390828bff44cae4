"""An MCP server whose tools go right and wrong, for calls: over HTTP in the tests' process, and as a command."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

READ = ToolAnnotations(read_only_hint=True)
WRITE = ToolAnnotations(read_only_hint=False, destructive_hint=False)
SETS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True)
DROPS = ToolAnnotations(read_only_hint=False, destructive_hint=True)

calls: list[tuple[str, Any]] = []
"""What really ran in this process."""


def server() -> MCPServer:
    made = MCPServer("files")

    @made.tool(annotations=READ)
    def read(path: str) -> str:
        """Reads a file."""
        calls.append(("read", path))
        return f"content of {path}"

    @made.tool(annotations=WRITE)
    def append(path: str, context: Context) -> dict[str, Any]:
        """Adds to a file; tells the call's `_meta`."""
        calls.append(("append", path))
        meta = context.request_context.meta
        return {"path": path, "meta": dict(meta or {})}

    @made.tool(annotations=SETS)
    def write(path: str) -> str:
        """Writes a file."""
        calls.append(("write", path))
        return path

    @made.tool(annotations=DROPS)
    def delete(path: str) -> str:
        """Deletes a file."""
        calls.append(("delete", path))
        return path

    @made.tool(annotations=WRITE)
    def refuse(path: str) -> str:
        """Says no."""
        raise ToolError(f"{path} is locked, {os.environ.get('TOKEN', 'nobody')}")

    @made.tool(annotations=WRITE)
    def large() -> str:
        """Says more than anybody reads."""
        return "x" * 9_000_000

    @made.tool(annotations=WRITE)
    def token() -> str:
        """Tells the secret that it was started with."""
        return f"{os.environ.get('TOKEN')} and {sorted(os.environ)}"

    @made.tool(annotations=WRITE)
    def die(witness: str) -> str:
        """Does its work, and ends before it says so."""
        Path(witness).write_text("done")
        os._exit(7)

    @made.tool(annotations=WRITE)
    def hang(witness: str) -> str:
        """Does its work, and never says so."""
        Path(witness).write_text("done")
        time.sleep(60)
        return ""

    return made


if __name__ == "__main__":
    if sys.argv[1] == "deaf":
        time.sleep(60)
    server().run("stdio")
