"""The registry's whole content as one immutable value. A change makes a new one; whoever reads keeps what they have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bureau_contracts.registry import AgentRecord
from bureau_contracts.shapes import JsonObject


@dataclass(frozen=True)
class Document:
    """Nobody may change what it holds: records are replaced, never written to."""

    agents: Mapping[str, AgentRecord] = field(default_factory=dict)
    """By name, and in the order of names."""
    tools: JsonObject = field(default_factory=dict)
    """Kept as the file has them."""
    prompts: JsonObject = field(default_factory=dict)
    """Kept as the file has them."""

    def with_agent(self, agent: AgentRecord) -> "Document":
        agents = {**self.agents, agent.name: agent}
        if agent.name not in self.agents:
            agents = dict(sorted(agents.items()))
        return replace(self, agents=agents)

    def without_agent(self, name: str) -> "Document":
        agents = {other: agent for other, agent in self.agents.items() if other != name}
        return replace(self, agents=agents)


Change = Callable[[Document], Document]
"""What somebody wants: old to new. Answers the very same document when there is nothing to do; raises a Refusal when
the old one forbids it. It must not wait, and it may run on a document that is then never stored."""
