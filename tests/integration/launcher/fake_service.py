"""A service in miniature, run by the launcher's tests: answers /health, tells its environment, ends with its lifeline.

`<NAME>_BEHAVIOUR` is one of: fail (ends at once), deaf (ignores SIGTERM), slow (takes a second
to end), unready (answers 503).
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = sys.argv[1]
PREFIX = f"{NAME.split('-')[0].upper()}_"
BEHAVIOUR = os.environ.get(f"{PREFIX}BEHAVIOUR", "")


def log(event: str, **fields: object) -> None:
    line = {"event": event, "level": "info", "timestamp": "2026-01-01T00:00:00Z", "service": NAME, **fields}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(dict(os.environ) if self.path == "/environment" else {"status": "ok"}).encode()
        self.send_response(503 if BEHAVIOUR == "unready" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    if BEHAVIOUR == "fail":
        log("about_to_fail", reason="told to")
        sys.exit(3)
    stop = threading.Event()
    if BEHAVIOUR == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # setting the event here could deadlock with its wait
    if port := os.environ.get(f"{PREFIX}PORT"):
        server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        log("started", port=int(port))
    else:
        log("worker_ready")

    def watch_lifeline() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=watch_lifeline, daemon=True).start()
    with contextlib.suppress(SystemExit):
        stop.wait()
    if BEHAVIOUR == "slow":
        time.sleep(1)
    log("stopped")
    os._exit(0)  # the lifeline's thread may still hold the interpreter's standard input


if __name__ == "__main__":
    main()
