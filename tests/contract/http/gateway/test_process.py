"""The gateway as a process of its own: its memory, its log, its end."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import psutil
import pytest

from kit.tasks import background
from tests.contract.http.gateway.service import Service
from tests.contract.http.gateway.world import Keys
from tests.servers import closed_url, listening, port_of, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEGABYTE = 1024 * 1024
PATIENCE_SECONDS = 20


@dataclass
class Gateway:
    url: str
    process: asyncio.subprocess.Process
    log: list[dict[str, object]] = field(default_factory=list)

    async def read_log(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.log.append(json.loads(line))

    def resident(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)


@asynccontextmanager
async def running(keys: Keys, **urls: str) -> AsyncIterator[Gateway]:
    url = closed_url()
    folder = keys.file.parent
    (folder / "key.pem").write_text(keys.private)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "GATEWAY_PORT": str(port_of(url)),
        "BUREAU_IDENTITY_PRIVATE_KEY_FILE": str(folder / "key.pem"),
        "BUREAU_KEYS_FILE": str(keys.file),
        **{f"GATEWAY_{name.upper()}": value for name, value in urls.items()},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kit.serve", "gateway", env=environment, stdout=asyncio.subprocess.PIPE
    )
    gateway = Gateway(url, process)
    try:
        async with background(gateway.read_log()):
            await answers(url)
            yield gateway
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def answers(url: str) -> None:
    """Returns once the gateway accepts connections."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


class Flood:
    """Sends 200 MB as fast as they are taken; `stalled` is set when they are not."""

    SIZE = 200 * MEGABYTE

    def __init__(self) -> None:
        self.sent = 0
        self.stalled = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.SIZE)
        part = bytes(64 * 1024)
        while self.sent < self.SIZE:
            writer.write(part)
            self.sent += len(part)
            try:
                # A second without room is a reader that has stopped, not one that is busy.
                await asyncio.wait_for(writer.drain(), 1)
            except TimeoutError:
                self.stalled.set()
                await writer.drain()
        writer.close()


async def test_a_slow_reader_of_200_mb_costs_less_than_10_mb(keys: Keys) -> None:
    flood = Flood()
    async with listening(flood) as flood_url, running(keys, registry_url=flood_url) as gateway:
        await read_page(gateway, keys)
        before = gateway.resident()
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(gateway.url), limit=64 * 1024)
            writer.write(f"GET /registry/all HTTP/1.1\r\nHost: x\r\nX-API-Key: {keys.api_key}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await flood.stalled.wait()
            # Nobody reads: what was sent until now lies in the kernel's buffers and the gateway's.
            held, most = flood.sent, gateway.resident()
            read = 0
            while read < flood.SIZE:
                read += len(await reader.readexactly(MEGABYTE))
                most = max(most, gateway.resident())
            writer.close()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert held < 50 * MEGABYTE
    assert most - before < 10 * MEGABYTE


async def read_page(gateway: Gateway, keys: Keys) -> None:
    """One ordinary request, so that what is made once is made."""
    async with httpx.AsyncClient(base_url=gateway.url, headers={"x-api-key": keys.api_key}) as client:
        assert (await client.get("/memory/x")).status_code == 503


async def test_one_line_of_log_says_who_where_and_how_it_went(keys: Keys) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with (
        serving(Service()) as service_url,
        running(keys, registry_url=service_url, memory_url=closed_url()) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        headers = {"x-api-key": keys.api_key, "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
        await client.get("/registry/agents?q=secret-words", headers=headers)
        await client.get("/registry/agents")
    lines = [line for line in gateway.log if line["event"] == "http_request"]
    assert [line["status"] for line in lines] == [200, 401]
    said = {name: lines[0][name] for name in ("tenant", "upstream", "trace_id", "path")}
    assert said == {"tenant": "acme", "upstream": "registry", "trace_id": trace_id, "path": "/registry/agents"}
    assert isinstance(lines[0]["duration_ms"], float)
    assert not any(secret in json.dumps(gateway.log) for secret in (keys.api_key, "secret-words"))


async def test_a_request_in_flight_is_finished_when_the_gateway_is_told_to_stop(keys: Keys) -> None:
    service = Service()
    async with (
        serving(service) as service_url,
        running(keys, registry_url=service_url) as gateway,
        httpx.AsyncClient(base_url=gateway.url, headers={"x-api-key": keys.api_key}, timeout=20) as client,
    ):
        async with asyncio.TaskGroup() as group:
            request = group.create_task(client.get("/registry/wait"))
            await service.entered.wait()
            gateway.process.send_signal(signal.SIGTERM)
            await refuses(gateway.url)
            service.go.set()
        assert (request.result().status_code, request.result().text) == (200, "waited")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await gateway.process.wait()


async def refuses(url: str) -> None:
    """Returns once no new connection is accepted."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.05)
