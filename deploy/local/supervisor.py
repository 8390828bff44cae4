"""Holds one store's server. Not imported: run as `python -I -S supervisor.py ORDER`, in a session of its own.

Standard input is a pipe whose only write end the launcher holds. However the launcher ends, kill -9 included, the
pipe closes and the server is shut down cleanly. Unlike PR_SET_PDEATHSIG this also works on macOS and under threads.
ORDER is JSON: the command, the signals to stop it with (each with the seconds it gets) and a folder to remove after.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading


def main() -> int:
    order = json.loads(sys.argv[1])
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    server = subprocess.Popen(order["command"], stdin=subprocess.DEVNULL)

    def watch_launcher() -> None:
        while os.read(0, 1024):
            pass
        stopping.set()

    def stop_server() -> None:
        stopping.wait()
        for number, seconds in order["stop"]:
            server.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(seconds)
                return

    threading.Thread(target=watch_launcher, daemon=True).start()
    threading.Thread(target=stop_server, daemon=True).start()
    code = server.wait()
    if order["remove"]:
        shutil.rmtree(order["remove"], ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
