"""What is said when everything is ready: where it is, and how to ask it something."""

from collections.abc import Mapping
from pathlib import Path

from deploy.local.credentials import Credentials

CURL = (
    'curl -s $BUREAU_URL/agent/chat -H "Authorization: Bearer $BUREAU_API_KEY" '
    "-H 'Content-Type: application/json' -d '{\"message\": \"show my tickets\"}'"
)


def welcome(url: str, addresses: Mapping[str, str], made: Credentials, seconds: float, show_key: bool) -> str:
    lines = []
    if show_key and made.new_key:
        lines += [
            "First start: made the administrator's key. It is kept in "
            f"{_short(made.client_file)} (mode 0600), where the command line finds it.",
            f"  BUREAU_API_KEY={made.new_key}",
        ]
    lines.append(f"Bureau is ready at {url} ({seconds:.1f} s)")
    if "gateway" in addresses:
        lines += [f"  . {_short(made.client_file)}", f"  {CURL}"]
    else:
        lines += [f"  {name:10} {address}" for name, address in addresses.items()]
    return "\n".join(lines)


def _short(path: Path) -> str:
    """Relative to where the user stands, when it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
