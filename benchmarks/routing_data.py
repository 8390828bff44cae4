"""Catalogues and utterances to route, made from public data sets beside the repository when they are there."""

import csv
import json
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.registry.cards import Card

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
EXAMPLES = 5  # phrases by which an agent introduces itself

Asked = list[tuple[str, str]]  # utterance, name of the agent that is right


class MalformedData(Exception):
    """The data files are there but are not what they should be."""


@dataclass(frozen=True)
class Clinc:
    """150 intents, each an agent; utterances by intent; utterances that no agent is for."""

    train: dict[str, list[str]]
    validation: Asked
    foreign_train: list[str]
    foreign_validation: list[str]


def load_clinc(folder: Path = DATA) -> Clinc | None:
    """None when the file is absent. Raises MalformedData."""
    path = folder / "clinc150-train.json"
    if not path.exists():
        return None
    try:
        raw: dict[str, Any] = json.loads(path.read_text())
        train: defaultdict[str, list[str]] = defaultdict(list)
        for text, intent in raw["train"]:
            train[intent].append(text)
        return Clinc(
            train=dict(sorted(train.items())),
            validation=[(text, intent) for text, intent in raw["val"]],
            foreign_train=[text for text, _ in raw["oos_train"]],
            foreign_validation=[text for text, _ in raw["oos_val"]],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedData(f"{path}: {error!r}") from error


def load_banking(folder: Path = DATA) -> dict[str, list[str]] | None:
    """Intent → utterances; None when the file is absent. Raises MalformedData."""
    path = folder / "banking77-train.csv"
    if not path.exists():
        return None
    found: defaultdict[str, list[str]] = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                found[row["category"]].append(row["text"].strip())
    except (UnicodeDecodeError, KeyError, csv.Error) as error:
        raise MalformedData(f"{path}: {error!r}") from error
    return dict(sorted(found.items()))


def card(intent: str, examples: list[str]) -> Card:
    """An agent that is known by its label and some examples."""
    return Card(name=intent, description=intent.replace("_", " "), examples=tuple(examples))


def first_cards(utterances: dict[str, list[str]]) -> list[Card]:
    """The first five phrases of each intent: often much alike, so the harder choice."""
    return [card(intent, texts[:EXAMPLES]) for intent, texts in utterances.items()]


def spread_cards(utterances: dict[str, list[str]]) -> list[Card]:
    """Five phrases of each intent at even distances."""
    return [card(intent, texts[:: len(texts) // EXAMPLES][:EXAMPLES]) for intent, texts in utterances.items()]


def drawn_cards(utterances: dict[str, list[str]], seed: int) -> list[Card]:
    """Five phrases of each intent by chance, the same ones for the same seed."""
    chance = random.Random(seed)
    return [card(intent, chance.sample(texts, EXAMPLES)) for intent, texts in utterances.items()]


def grouped_cards(utterances: list[str], agents: int) -> list[Card]:
    """Many agents for measuring speed: distinct groups of five utterances, each utterance in few of them."""
    shuffled = random.Random(77)
    pool: list[str] = []
    cards = []
    for number in range(agents):
        if len(pool) < EXAMPLES:
            pool = utterances[:]
            shuffled.shuffle(pool)
        group, pool = pool[:EXAMPLES], pool[EXAMPLES:]
        cards.append(Card(name=f"agent-{number:05}", description=group[0], examples=tuple(group)))
    return cards


def synthetic_utterances(count: int) -> list[str]:
    """Stand-ins of plausible length and word frequency, for speed alone, when no data are there."""
    chance = random.Random(1)
    syllables = [a + b for a in "bcdfglmnprstv" for b in ("a", "en", "i", "or", "u")]
    vocabulary = ["".join(chance.choices(syllables, k=chance.randint(1, 3))) for _ in range(6_000)]
    zipf = [1 / rank for rank in range(1, len(vocabulary) + 1)]
    return [" ".join(chance.choices(vocabulary, zipf, k=chance.randint(5, 14))) for _ in range(count)]
