"""How evidence becomes a score: the weights of each kind of evidence and the calibration. Numbers and arithmetic only.

Weights and calibrations were fitted by `python -m benchmarks.routing_fit` (see there for the data and the method), but
for `nobody` and the threshold, which were chosen. A change to tokenising, lexicon or index wants a new fit.
"""

import math
from collections.abc import Mapping
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
    nearest: float = 0.0  # cosine of the query's embedding to that of the best single text
    centre: float = 0.0  # … and to the middle of all of the agent's texts


@dataclass(frozen=True)
class Calibration:
    """From evidence to P(the best agent is right): a logistic over its grounds."""

    nobody: float = 2.0  # the evidence that "none of them" brings to every shortlist: an agent alone can lose too
    bias: float = -4.573
    share: float = 5.356
    strength: float = 0.159
    coverage: float = 0.517
    nearest: float = 0.0


@dataclass(frozen=True)
class Tuning:
    """What belongs together: a calibration holds for the weights that it was fitted with."""

    weights: Weights = Weights()
    calibration: Calibration = Calibration()


@dataclass(frozen=True)
class Grounds:
    """What the trust in the best agent rests on."""

    name: str  # of that agent
    share: float  # its softmax share of the shortlist, 0..1: does another agent, or nobody, contest it?
    strength: float  # its evidence in log-odds: is there much?
    coverage: float  # idf-weighted part of the query's words that it explains, 0..1: is much left over?
    nearest: float = 0.0  # cosine to its nearest text; 0 where words alone decide

    def probability(self, calibration: Calibration) -> float:
        """P(the best agent is right)."""
        odds = (
            calibration.bias
            + calibration.share * self.share
            + calibration.strength * self.strength
            + calibration.coverage * self.coverage
            + calibration.nearest * self.nearest
        )
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))


WORDS = Tuning()
"""For words alone."""
FITTED: Mapping[str, Tuning] = {
    "hashed-1024-v1": Tuning(
        Weights(word=1.289, similar=1.745, concept=0.68, adjacent=0.18, example=4.437, label=1.649,
                nearest=1.018, centre=6.198),
        Calibration(bias=-4.843, share=5.822, strength=0.134, coverage=0.836, nearest=-0.008),
    ),
    "all-minilm-l6-v2": Tuning(
        Weights(word=0.265, similar=0.692, concept=0.64, adjacent=0.223, example=0.0, label=0.98,
                nearest=4.061, centre=17.534),
        Calibration(bias=-7.85, share=6.415, strength=0.354, coverage=0.453, nearest=-1.501),
    ),
}  # fmt: skip
"""For words and embeddings, by model. Cosines of different models mean different things: one that nobody has fitted
is not used."""


def shares(strengths: list[float], nobody: float) -> list[float]:
    """Softmax over agents and nobody; what nobody gets is missing from the sum."""
    best = max(*strengths, nobody)
    powers = [math.exp(strength - best) for strength in strengths]
    total = sum(powers) + math.exp(nobody - best)
    return [power / total for power in powers]
