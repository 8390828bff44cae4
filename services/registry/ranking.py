"""How evidence becomes a score: the weights of each kind of evidence and the calibration. Numbers and arithmetic only.

Weights and calibration were fitted by `python -m benchmarks.routing_fit` (see there for the data and the method), but
for `semantic`, `nobody` and the threshold, which were chosen. A change to tokenising, lexicon or index wants a new fit.
"""

import math
from dataclasses import dataclass

# Under this score it is wiser to ask the user than to guess. Scores are probabilities, so one half means
# "more likely right than not".
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Weights:
    """What one unit of each kind of evidence adds to an agent's log-odds."""

    word: float = 2.03  # BM25 over stems, idf in 0..1
    similar: float = 2.10  # the same over words spelt alike, times their likeness
    concept: float = 0.64  # the same over groups of synonyms
    adjacent: float = 0.37  # two neighbouring words of the query also neighbours in an example
    example: float = 4.24  # cosine to the best single example
    label: float = 2.45  # cosine to the name or the best single skill or tag
    semantic: float = 6.0  # cosine of embeddings; not fitted, since no embedding model is part of the registry


@dataclass(frozen=True)
class Calibration:
    """From evidence to P(the best agent is right): a logistic over its grounds."""

    nobody: float = 2.0  # the evidence that "none of them" brings to every shortlist: an agent alone can lose too
    bias: float = -4.48
    share: float = 5.25
    strength: float = 0.159
    coverage: float = 0.57


@dataclass(frozen=True)
class Grounds:
    """What the trust in the best agent rests on."""

    name: str  # of that agent
    share: float  # its softmax share of the shortlist, 0..1: does another agent, or nobody, contest it?
    strength: float  # its evidence in log-odds: is there much?
    coverage: float  # idf-weighted part of the query's words that it explains, 0..1: is much left over?

    def probability(self, calibration: Calibration) -> float:
        """P(the best agent is right)."""
        odds = (
            calibration.bias
            + calibration.share * self.share
            + calibration.strength * self.strength
            + calibration.coverage * self.coverage
        )
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))


WEIGHTS = Weights()
CALIBRATION = Calibration()


def shares(strengths: list[float], nobody: float) -> list[float]:
    """Softmax over agents and nobody; what nobody gets is missing from the sum."""
    best = max(*strengths, nobody)
    powers = [math.exp(strength - best) for strength in strengths]
    total = sum(powers) + math.exp(nobody - best)
    return [power / total for power in powers]
