"""Which tool a message means: by the tools' example phrases first, by their names and descriptions else."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bureau_contracts.runtime import Risk
from services.runtime.models.model import ToolSpec
from services.runtime.models.offline.arguments import explained_terms
from services.runtime.models.offline.parameters import parameters
from services.runtime.models.offline.words import ID, name_words, stem, terms

ENOUGH = 0.5
"""A reading tool is called from this score on (0 … 1)."""
ENOUGH_TO_ACT = 0.6
"""A tool that changes something, only when it is meant more clearly."""
DESCRIPTION_WEIGHT = 0.85
"""What a match with name and description is worth, compared with one of an example."""
CHOICE_BONUS = 0.1
"""For naming a value that the tool lets one choose."""
ID_TERM = "#id"

_NEVER = re.compile(r"\b(don't|dont|do not|does not|never|must not|should not|no need to|rather not)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Scored:
    tool: ToolSpec
    score: float

    @property
    def enough(self) -> bool:
        return self.score >= (ENOUGH if self.tool.risk is Risk.READ else ENOUGH_TO_ACT)


class Chooser:
    """Over the tools of an agent, for one message and its parts. A word counts the more, the fewer tools know it."""

    def __init__(self, tools: Sequence[ToolSpec], message: str) -> None:
        # "I do not want you to go ahead and close it": words match, the meaning is the opposite.
        forbidden = _NEVER.search(message) is not None
        self._tools = [tool for tool in tools if tool.risk is Risk.READ or not forbidden]
        self._known = {tool.name: _vocabulary(tool) for tool in tools}
        self._spread = Counter(word for known in self._known.values() for word in known)

    def rank(self, text: str) -> list[Scored]:
        """Every tool that may be meant with its score, best first; equal ones as the agent lists them."""
        return sorted((Scored(tool, self._score(text, tool)) for tool in self._tools), key=lambda each: -each.score)

    def _score(self, message: str, tool: ToolSpec) -> float:
        chosen = explained_terms(message, tool)
        said = _marked(message) - chosen
        if not said:
            return 0.9 if chosen else 0.0  # nothing but a value that only some tool can take
        example = max((self._likeness(said, _marked(each) - chosen) for each in tool.examples), default=0.0)
        known = self._known[tool.name]
        covered = self._weight({word for word in said if word in known} | chosen) / self._weight(said | chosen)
        return max(example, DESCRIPTION_WEIGHT * covered + (CHOICE_BONUS if chosen else 0))

    def _likeness(self, said: set[str], example: set[str]) -> float:
        """Cosine of the two sets of words."""
        if not example:
            return 0.0
        return self._weight(said & example) / math.sqrt(self._weight(said) * self._weight(example))

    def _weight(self, some: set[str]) -> float:
        return sum(self._idf(word) ** 2 for word in some)

    def _idf(self, word: str) -> float:
        if word == ID_TERM:
            return 0.5
        return 0.25 + math.log((1 + len(self._known)) / (0.5 + self._spread[word]))


def _marked(text: str) -> set[str]:
    return set(terms(text)) | ({ID_TERM} if ID.search(text) else set())


def _vocabulary(tool: ToolSpec) -> set[str]:
    known = {stem(word) for word in name_words(tool.name)} | set(terms(tool.description.partition("\n\n")[0]))
    for example in tool.examples:
        known |= _marked(example)
    return known | ({ID_TERM} if any(each.is_identifier for each in parameters(tool)) else set())
