"""Every service starts and answers with its own dependencies alone: the shared environment hides a missing one."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from kit.identity import generate_keypair
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
SERVICES = [f"services.{path.parent.name}" for path in sorted(ROOT.glob("services/*/pyproject.toml"))] + ["gateway"]
START_SECONDS = 20
_, PUBLIC = generate_keypair()


def uv() -> str:
    found = shutil.which("uv") or shutil.which("uv", path=Path(sys.prefix) / "bin")
    assert found, "uv is installed by deploy/bootstrap.sh"
    return found


def environment_of(service: str, folder: Path) -> Path:
    """A virtual environment with what the service's own lock names, and nothing else."""
    python = folder / "venv" / "bin" / "python"
    subprocess.run([uv(), "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    lock = ROOT / service.replace(".", "/") / "requirements.lock"
    subprocess.run([uv(), "pip", "sync", "--quiet", "--python", python, lock], check=True)
    return python


@contextlib.contextmanager
def running(service: str, python: Path, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    prefix = service.rpartition(".")[2].upper()
    private, public = folder / "key", folder / "key.pub"
    for path, text in zip((private, public), generate_keypair(), strict=True):
        path.write_text(text)
    paths = [ROOT, ROOT / "contracts"]
    if "agent-bureau" in (ROOT / service.replace(".", "/") / "pyproject.toml").read_text():
        paths.append(ROOT / "sdk")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "BUREAU_IDENTITY_PUBLIC_KEYS_FILE": str(public),
        "BUREAU_IDENTITY_PRIVATE_KEY_FILE": str(private),
        f"{prefix}_PORT": str(port),
        "REGISTRY_FILE": str(folder / "registry.json"),
        "SESSIONS_DATABASE_URL": f"sqlite:///{folder}/sessions.db",
    }
    command = [str(python), "-m", "kit.serve", service, "--lifeline"]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()  # its lifeline: the service stops by itself
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_alone_and_refuses_strangers(service: str, tmp_path: Path) -> None:
    port = free_port()
    python = environment_of(service, tmp_path)
    with running(service, python, tmp_path, port) as process:
        deadline = time.monotonic() + START_SECONDS
        answer = None
        while answer is None and process.poll() is None and time.monotonic() < deadline:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/health", timeout=5, trust_env=False)
            except httpx.TransportError:
                time.sleep(0.05)
        assert answer is not None, (tmp_path / "log").read_text()
        # Its stores and neighbours are away: it says so, and is there.
        assert answer.status_code in (200, 503)
        assert httpx.get(f"http://127.0.0.1:{port}/registry/agents", trust_env=False).status_code == 401
    assert process.returncode == 0, (tmp_path / "log").read_text()
