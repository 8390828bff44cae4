"""The gateway against nginx as a reverse proxy to the same upstream, 1 KB of JSON: `python -m benchmarks.gateway`.

The gateway authenticates, signs, traces and logs; nginx only forwards (one worker, kept connections, HTTP/1.1). The
load and the upstream share one core, the proxy under test has another, where the system can pin processes. Without an
`nginx` on PATH the reference is the upstream itself.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import psutil
import uvloop

from kit.api_keys import ApiKeyFile
from kit.identity import generate_keypair

END = b'"end":true}'
BODY = json.dumps({"agents": ["x" * 40] * 23, "note": "", "end": True}, separators=(",", ":")).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
ROOT = Path(__file__).resolve().parents[1]
CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
MANY = 32
START_SECONDS = 20
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; keepalive_requests 100000000;
  upstream service {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://service; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_set_header Host $host; }} }}
}}
"""


class Upstream(asyncio.Protocol):
    """Answers each request at once; knows that a request is one packet or ends with an empty line."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER * data.count(b"\r\n\r\n"))


class Client(asyncio.Protocol):
    """Sends a request, awaits its answer, sends the next, until the deadline; keeps how long each took."""

    def __init__(self, request: bytes, deadline: float) -> None:
        self._request, self._deadline = request, deadline
        self._tail = b""
        self.taken: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._send()

    def data_received(self, data: bytes) -> None:
        if not (self._tail + data).endswith(END):
            self._tail = data[-len(END) :]
            return
        self._tail = b""
        now = time.perf_counter()
        self.taken.append(now - self._began)
        if now < self._deadline:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)


@dataclass
class Target:
    name: str
    port: int
    request: bytes
    processes: list[psutil.Process] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    """Requests per second with MANY connections."""
    medians: list[float] = field(default_factory=list)
    """Microseconds from request to answer with one connection."""
    costs: list[float] = field(default_factory=list)
    """Microseconds of processor per request with MANY connections."""

    def cpu_seconds(self) -> float:
        return sum(times.user + times.system for times in (each.cpu_times() for each in self.processes))


async def load(target: Target, connections: int, seconds: float) -> list[float]:
    loop = asyncio.get_running_loop()
    deadline = time.perf_counter() + seconds
    clients = [
        (await loop.create_connection(lambda: Client(target.request, deadline), "127.0.0.1", target.port))[1]
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + 10):
        await asyncio.gather(*(client.done for client in clients))
    taken = [each for client in clients for each in client.taken]
    assert taken, f"{target.name} did not answer"
    return taken


async def measure(targets: Sequence[Target], rounds: int, seconds: float) -> None:
    for target in targets:
        await load(target, MANY, seconds / 2)
    for _ in range(rounds):  # in turn, so that a slow moment of the machine harms all alike
        for target in targets:
            target.medians.append(statistics.median(await load(target, 1, seconds)) * 1e6)
            before, began = target.cpu_seconds(), time.perf_counter()
            count = len(await load(target, MANY, seconds))
            target.rates.append(count / (time.perf_counter() - began))
            target.costs.append((target.cpu_seconds() - before) / count * 1e6)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, core: int, environment: dict[str, str]
) -> Iterator[list[psutil.Process]]:
    """Runs a server on one core; gives its processes once it accepts connections."""
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not accepts(port):
            assert process.poll() is None, f"{command[0]} ended"
            assert time.monotonic() < deadline, f"{command[0]} did not start"
            time.sleep(0.05)
        own = psutil.Process(process.pid)
        processes = [own, *own.children(recursive=True)]
        for each in processes:
            pin(each, core)
        yield processes
    finally:
        process.terminate()
        process.wait(15)


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def pin(process: psutil.Process, core: int) -> None:
    """`core` 0 is the first that this process may use, 1 the last."""
    if sys.platform == "linux":
        process.cpu_affinity([CORES[-core]])


def request(*headers: str) -> bytes:
    return "\r\n".join(["GET /registry/agents?limit=20 HTTP/1.1", "Host: bureau", *headers, "", ""]).encode()


def show(targets: Sequence[Target], reference: Target) -> None:
    print(
        f"{'':10}{'req/s':>9}{'ratio':>8}{'p50 at 1':>12}{'ratio':>8}{'CPU/req':>10}   ({MANY} connections; ratios: ",
        end="",
    )
    print(f"{reference.name} = 1)")
    rate, median = statistics.median(reference.rates), statistics.median(reference.medians)
    for each in targets:
        rates, medians, cost = map(statistics.median, (each.rates, each.medians, each.costs))
        print(f"{each.name:10}{rates:9,.0f}{rates / rate:8.2f}{medians:9,.0f} µs{medians / median:8.2f}{cost:7,.0f} µs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half a second of each instead of rounds of two")
    parser.add_argument("--upstream", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if arguments.upstream:
            runner.run(serve(arguments.upstream))
        else:
            compare(runner, arguments.quick)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


def compare(runner: asyncio.Runner, quick: bool) -> None:
    nginx = shutil.which("nginx")
    upstream, forwarded, port = free_port(), free_port(), free_port()
    pin(psutil.Process(), 0)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)  # nginx's worker is another user when this one is root
        own = [sys.executable, "-m", "benchmarks.gateway", "--upstream", str(upstream)]
        processes = stack.enter_context(running(own, upstream, 0, {}))
        targets = [Target("direct", upstream, request(), processes)]
        if nginx:
            configuration = folder / "nginx.conf"
            configuration.write_text(NGINX.format(folder=folder, port=forwarded, upstream=upstream))
            command = [nginx, "-p", str(folder), "-c", str(configuration)]
            targets.append(
                Target("nginx", forwarded, request(), stack.enter_context(running(command, forwarded, 1, {})))
            )
        else:
            print("nginx is not on PATH: the upstream itself is the reference")
        (folder / "key").write_text(generate_keypair()[0])
        key = ApiKeyFile(folder / "keys.json").create(tenant="acme", user="ada").secret
        environment = {
            "GATEWAY_PORT": str(port),
            "GATEWAY_REGISTRY_URL": f"http://127.0.0.1:{upstream}",
            "BUREAU_IDENTITY_PRIVATE_KEY_FILE": str(folder / "key"),
            "BUREAU_KEYS_FILE": str(folder / "keys.json"),
        }
        command = [sys.executable, "-m", "kit.serve", "gateway"]
        processes = stack.enter_context(running(command, port, 1, environment))
        targets.append(Target("gateway", port, request(f"Authorization: Bearer {key}"), processes))
        runner.run(measure(targets, *((1, 0.5) if quick else (5, 2.0))))
    show(targets, reference=targets[-2])


if __name__ == "__main__":
    main()
