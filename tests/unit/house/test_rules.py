"""The rules of the house that import-linter cannot see."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ["kit", "services", "gateway", "deploy", "examples", "contracts/bureau_contracts", "sdk/bureau"]
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

PRINTING_ALLOWED = ("sdk/bureau/cli/", "deploy/local/", "examples/", "gateway/keys.py")
SETTINGS = {"settings.py"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_keeps_the_rules_of_the_house(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    place = relative(path)
    library = not place.startswith(("examples/", "deploy/"))

    if library and path.name not in SETTINGS:
        assert not {"os.environ"} & names | {"os.getenv"} & called, "the environment is read in settings only"
    if not place.startswith("kit/"):
        assert not {"asyncio.create_task", "asyncio.ensure_future"} & called, "kit.tasks owns tasks"
    if not place.startswith(PRINTING_ALLOWED):
        assert "print" not in called, "only command lines print"
    if path.stat().st_size:
        assert ast.get_docstring(tree), "every module says what it is"


IMPORT_EVERYTHING = """
import importlib, os, sys
ours = ("kit", "services", "gateway", "bureau", "bureau_contracts", "examples", "deploy")
wrong = []
forbidden = (
    "socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.posix_spawn", "_thread.start_new_thread"
)

def audit(event, arguments):
    if event in forbidden:
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_globals.get("__name__", "").split(".")[0] in ours:
                wrong.append(f"{event} while importing {frame.f_globals['__name__']}")
                break
            frame = frame.f_back

class Watched(dict):
    def _ask(self, name):
        asking = sys._getframe(2).f_globals.get("__name__", "")
        if asking == "os":
            asking = sys._getframe(3).f_globals.get("__name__", "")
        if asking.split(".")[0] in ours:
            wrong.append(f"{asking} reads {name} from the environment")
    def __getitem__(self, name):
        self._ask(name)
        return super().__getitem__(name)
    def get(self, name, default=None):
        self._ask(name)
        return super().get(name, default)

os.environ = Watched(os.environ)
sys.addaudithook(audit)
for module in sys.argv[1:]:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name != "tokenizers":  # comes with the optional sentence model
            raise
print("\\n".join(sorted(set(wrong))))
"""


def test_importing_everything_opens_nothing_reads_no_environment_and_starts_no_thread() -> None:
    roots = {"contracts": ROOT / "contracts", "sdk": ROOT / "sdk"}
    modules = []
    for path in MODULES:
        base = next((root for root in roots.values() if path.is_relative_to(root)), ROOT)
        parts = list(path.relative_to(base).with_suffix("").parts)
        modules.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    finished = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING, *modules], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip() == ""
