"""The first start registers the bundled example agents, so that the first message finds somebody who answers."""

import json
from pathlib import Path

from bureau import Bureau
from bureau.errors import BureauError, Conflict
from bureau_contracts.registry import RegisterAgent

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "agents"


class NotRegistered(Exception):
    """Bureau runs, without them; the message says why."""


async def register(url: str, api_key: str) -> list[str]:
    """The names that are registered now, of those in `examples/agents/*.json`. Raises NotRegistered."""
    names = []
    try:
        async with Bureau(url, api_key) as bureau:
            for path in sorted(FOLDER.glob("*.json")):
                agent = RegisterAgent.model_validate(json.loads(path.read_text()))
                names.append(agent.name)
                try:
                    await bureau.agents.register(agent)
                except Conflict:
                    continue
    except (BureauError, OSError, ValueError) as error:
        raise NotRegistered(str(error)) from error
    return names
