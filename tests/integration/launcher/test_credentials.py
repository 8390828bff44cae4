"""The secrets of an installation in containers, made by a command of its own."""

import stat
import subprocess
import sys
from pathlib import Path

from deploy.local.files import read_variables
from deploy.local.runner import ROOT
from kit.api_keys import ApiKeyAuthenticator


def make(folder: Path, url: str) -> dict[str, str]:
    # -S would hide site-packages; what counts is that nothing of the launcher's own dependencies is imported.
    code = f"import sys; sys.modules['psutil'] = None; sys.argv = ['x', {str(folder)!r}, {url!r}]; " \
           "import runpy; runpy.run_module('deploy.local.credentials', run_name='__main__')"  # fmt: skip
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    return read_variables(folder / "client.env")


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    first = make(tmp_path, "http://127.0.0.1:8080")
    keys = {path: path.read_bytes() for path in (tmp_path / "secrets").iterdir()}
    again = make(tmp_path, "http://127.0.0.1:9090")
    assert {path: path.read_bytes() for path in (tmp_path / "secrets").iterdir()} == keys
    assert again == first | {"BUREAU_URL": "http://127.0.0.1:9090"}
    principal = ApiKeyAuthenticator(tmp_path / "keys.json").authenticate(first["BUREAU_API_KEY"])
    assert principal.scopes == {"admin"}
    for path in [*keys, tmp_path / "client.env", tmp_path / "keys.json"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
