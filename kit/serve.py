"""`python -m kit.serve services.sessions`: runs one service, from settings to graceful end.

The package must have `settings.Settings` (a ServerSettings) and `app.create_app(settings)`.
"""

import argparse
import gc
import importlib
import socket
import sys
import time

import uvicorn

from kit.lifeline import watch_lifeline
from kit.logs import configure_logs
from kit.settings import SettingsError

GRACE_SECONDS = 8
"""How long requests in flight may finish after SIGTERM; the promise is ten seconds for everything."""
ORPHAN_SECONDS = 1.0
"""How long they may finish when the parent died."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kit.serve", description="Runs one of Bureau's servers.")
    parser.add_argument("package", help="e.g. services.sessions")
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input ends")
    arguments = parser.parse_args()
    gc.disable()  # what a start makes stays: to look for what could go takes a tenth of its time
    try:
        settings = importlib.import_module(f"{arguments.package}.settings").Settings.from_environment()
        name = arguments.package.rpartition(".")[2]
        configure_logs(name, level=settings.common.log_level, form=settings.common.log_format)
        app = importlib.import_module(f"{arguments.package}.app").create_app(settings)
    except SettingsError as error:
        sys.exit(f"{arguments.package}: {error}")
    gc.freeze()
    gc.enable()
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            date_header=True,
            timeout_graceful_shutdown=GRACE_SECONDS,
            ws="websockets-sansio",
        )
    )
    if arguments.lifeline:
        watch_lifeline(lambda: _end(server))
    server.run()
    if not server.started:
        sys.exit(3)


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Long-polled and streamed answers must know of it before their connections are waited for."""
        stopping = getattr(getattr(self.config.app, "state", None), "stopping", None)
        if stopping is not None:
            stopping.set()
        await super().shutdown(sockets)


def _end(server: uvicorn.Server) -> None:
    """Our parent is gone and nobody waits for what is still streaming: it gets a moment, not the whole grace."""
    server.should_exit = True
    time.sleep(ORPHAN_SECONDS)
    server.force_exit = True


if __name__ == "__main__":
    main()
