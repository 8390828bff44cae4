"""How good a runbook reads, as a number. Deterministic arithmetic over its words; no model is asked.

The score is the mean of the parts that apply, each 0 … 1:

- ``size``: 1 up to 20 steps, 20 / steps above, 0 without a step. Nobody follows a hundred steps without a mistake.
- ``step_length``: mean over the steps of 1 for 2 to 30 words, words / 2 below, 30 / words above.
- ``forbidden``: share of the forbidden phrases that do not occur; when some were named.
- ``similarity``: mean of the Dice coefficients of words and of pairs of neighbouring words with the reference's, so
  that it counts what is said and in which order; when there is a reference.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise

from bureau_contracts.evaluation import RunbookScore, ScoreRunbook
from bureau_contracts.steps import NewStep

MOST_STEPS = 20
FEWEST_WORDS, MOST_WORDS = 2, 30

_WORD = re.compile(r"\w+")


def score_runbook(request: ScoreRunbook) -> RunbookScore:
    """Takes time in proportion to the text; call it from a thread, for the text may be long."""
    steps = [_words(text) for text in _texts(request.runbook)]
    found = _found(steps, request.forbidden_phrases)
    parts = {"size": _size(len(steps)), "step_length": _mean([_step_length(len(step)) for step in steps])}
    if request.forbidden_phrases:
        parts["forbidden"] = 1 - len(found) / len(request.forbidden_phrases)
    similarity = None
    if request.reference is not None:
        similarity = _similarity(_joined(steps), _joined(map(_words, _texts(request.reference))))
        parts["similarity"] = similarity
    return RunbookScore(
        score=_mean(list(parts.values())),
        step_count=len(steps),
        mean_step_length=_mean([len(step) for step in steps]),
        forbidden_found=found,
        similarity=similarity,
        details=parts,
    )


def _texts(runbook: list[NewStep] | str) -> list[str]:
    """What each step says. Of a text every line that is not blank is a step."""
    if isinstance(runbook, str):
        return [line for line in runbook.splitlines() if line.strip()]
    return [f"{step.name} {step.message or ''}" for step in runbook]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _joined(steps: Iterable[list[str]]) -> list[str]:
    return [word for step in steps for word in step]


def _found(steps: Sequence[list[str]], phrases: Sequence[str]) -> list[str]:
    """The phrases whose words occur in a row within one step, whatever stands between them."""
    text = "\n".join(f" {' '.join(step)} " for step in steps)
    return [phrase for phrase in phrases if (words := _words(phrase)) and f" {' '.join(words)} " in text]


def _size(steps: int) -> float:
    return min(1.0, MOST_STEPS / steps) if steps else 0.0


def _step_length(words: int) -> float:
    return min(1.0, words / FEWEST_WORDS, MOST_WORDS / words) if words else 0.0


def _similarity(one: list[str], other: list[str]) -> float:
    parts = [_dice(one, other)]
    if len(one) > 1 or len(other) > 1:
        parts.append(_dice(list(pairwise(one)), list(pairwise(other))))
    return _mean(parts)


def _dice(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """Twice what both have over all they have; two empty ones are alike."""
    shared = (Counter(one) & Counter(other)).total()
    return 2 * shared / (len(one) + len(other)) if one or other else 1.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
