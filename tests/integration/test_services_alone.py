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


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty virtual environment; its Python."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([uv(), "venv", "--quiet", "--python", sys.executable, folder], check=True)
    return folder / "bin" / "python"


def bring_to(service: str, python: Path) -> None:
    """Exactly what the service's own lock names is installed then: what the one before needed beside it is removed.
    What both need stays, and is not compiled again."""
    lock = ROOT / service.replace(".", "/") / "requirements.lock"
    subprocess.run([uv(), "pip", "sync", "--quiet", "--python", python, lock], check=True)


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
def test_a_service_starts_alone_and_refuses_strangers(service: str, environment: Path, tmp_path: Path) -> None:
    port = free_port()
    bring_to(service, environment)
    with (
        running(service, environment, tmp_path, port) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5, trust_env=False) as client,
    ):
        deadline = time.monotonic() + START_SECONDS
        answer = None
        while answer is None and process.poll() is None and time.monotonic() < deadline:
            try:
                answer = client.get("/health")
            except httpx.TransportError:
                time.sleep(0.05)
        assert answer is not None, (tmp_path / "log").read_text()
        # Its stores and neighbours are away: it says so, and is there.
        assert answer.status_code in (200, 503)
        assert client.get("/registry/agents").status_code == 401
    assert process.returncode == 0, (tmp_path / "log").read_text()
