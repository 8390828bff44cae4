"""Where the command line finds Bureau: the environment, or the data folder that `bureau up` wrote."""

import os
from dataclasses import dataclass
from pathlib import Path


class NotConfigured(Exception):
    """The message says what to set or start."""


@dataclass(frozen=True)
class Address:
    url: str
    api_key: str


def data_folder() -> Path:
    """`BUREAU_DATA`, or `.bureau` in this folder or the nearest one above that has it."""
    if named := os.environ.get("BUREAU_DATA"):
        return Path(named)
    here = Path.cwd()
    above = (folder / ".bureau" for folder in (here, *here.parents))
    return next((folder for folder in above if folder.is_dir()), here / ".bureau")


def launch_environment() -> dict[str, str]:
    """What the launcher is started with: this environment, and the data folder that this command would use."""
    return {**os.environ, "BUREAU_DATA": str(data_folder().resolve())}


def address() -> Address:
    """`BUREAU_URL` and `BUREAU_API_KEY`; what is not set comes from `client.env` in the data folder.

    Raises NotConfigured.
    """
    file = data_folder() / "client.env"
    known = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line) if file.exists() else {}
    known.update({name: os.environ[name] for name in ("BUREAU_URL", "BUREAU_API_KEY") if os.environ.get(name)})
    try:
        return Address(known["BUREAU_URL"], known["BUREAU_API_KEY"])
    except KeyError as missing:
        raise NotConfigured(
            f"{missing.args[0]} is not set and {file} does not hold it: start Bureau with 'make up' (or 'bureau up'), "
            "or set BUREAU_URL and BUREAU_API_KEY"
        ) from None


def checkout() -> Path:
    """The repository that this package was installed from. Raises NotConfigured when it was installed without one."""
    for folder in (Path.cwd(), *Path.cwd().parents, *Path(__file__).resolve().parents):
        if (folder / "deploy" / "local" / "__main__.py").exists():
            return folder
    raise NotConfigured("this command runs from a checkout of Bureau (it starts the services that live there)")
