"""Stage one of routing against rank_bm25 over the same cards: `python -m benchmarks.routing [--quick]`.

Prints accuracy, what a threshold makes of out-of-scope utterances, and latency. Ends non-zero only if data files are
there and malformed; without them it measures latency alone, on a synthetic catalogue.
"""

import argparse
import re
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
from rank_bm25 import BM25Okapi

from benchmarks.routing_data import (
    DATA,
    Asked,
    Clinc,
    MalformedData,
    drawn_cards,
    first_cards,
    grouped_cards,
    load_banking,
    load_clinc,
    spread_cards,
    synthetic_utterances,
)
from benchmarks.routing_vectors import Embedded, embedders
from services.registry.cards import Card
from services.registry.embeddings import texts_of
from services.registry.meaning import Meaning
from services.registry.ranking import DEFAULT_THRESHOLD, FITTED, WORDS, Tuning, Weights
from services.registry.search import AgentIndex
from services.registry.vectors import Vectors

K = 5
SIZES = (100, 1_000, 10_000)
DRAWS = 10  # of five phrases an agent: what an author happens to think of decides more than most ingredients
WITHOUT: dict[str, Weights] = {  # a weight of 0 leaves an ingredient out
    "spelling": replace(WORDS.weights, similar=0),
    "synonyms": replace(WORDS.weights, concept=0),
    "word order": replace(WORDS.weights, adjacent=0),
    "best example": replace(WORDS.weights, example=0),
    "best label": replace(WORDS.weights, label=0),
    "all five": replace(WORDS.weights, similar=0, concept=0, adjacent=0, example=0, label=0),
}


class Ranker(Protocol):
    def __call__(self, query: str) -> list[tuple[str, float]]:
        """Names and scores, best first."""


@dataclass(frozen=True)
class Accuracy:
    first: float
    among_five: float


def bureau(cards: list[Card], weights: Weights = WORDS.weights, embedded: Embedded | None = None) -> Ranker:
    index = AgentIndex(Tuning(weights, WORDS.calibration))
    for card in cards:
        index.put(card)
    meaning = embedded.meaning(cards) if embedded else None

    def rank(query: str) -> list[tuple[str, float]]:
        return [(hit.name, hit.score) for hit in index.search(query, K, meaning=meaning(query) if meaning else None)]

    return rank


def reference(cards: list[Card]) -> Ranker:
    """rank_bm25 as its readme uses it: lower case, words, one text per card."""
    names = [card.name for card in cards]
    okapi = BM25Okapi([_plain(" ".join((card.name, card.description, *card.examples))) for card in cards])

    def rank(query: str) -> list[tuple[str, float]]:
        scores = okapi.get_scores(_plain(query))
        best = scores.argsort(kind="stable")[::-1][:K]
        return [(names[i], float(scores[i])) for i in best]

    return rank


def _plain(text: str) -> list[str]:
    return re.findall(r"\w+", text.replace("_", " ").lower())


def accuracy(rank: Ranker, questions: Asked) -> Accuracy:
    first = five = 0
    for text, right in questions:
        names = [name for name, _ in rank(text)]
        first += names[:1] == [right]
        five += right in names
    return Accuracy(first / len(questions), five / len(questions))


def print_accuracy(clinc: Clinc, banking: dict[str, list[str]] | None, models: list[Embedded], quick: bool) -> None:
    questions = clinc.validation[:: 5 if quick else 1]
    print(f"\nCLINC150, 150 agents by five train examples each; {len(questions)} validation utterances")
    print(f"{'':40}{'first':>8}{'in five':>9}")
    catalogues = {"first five of train": first_cards(clinc.train), "five spread over train": spread_cards(clinc.train)}
    for label, cards in catalogues.items():
        for who, make in (("rank_bm25", reference), ("bureau", bureau)):
            _print_line(f"{who}, {label}", accuracy(make(cards), questions))
        for embedded in models:
            embedded.learn(text for text, _ in questions)
            _print_line(f"  + {embedded.model}", accuracy(bureau(cards, embedded=embedded), questions))
    _print_draws(clinc, questions, models, 2 if quick else DRAWS)
    if not quick:
        for ingredient, weights in WITHOUT.items():
            _print_line(
                f"  without {ingredient}", accuracy(bureau(catalogues["first five of train"], weights), questions)
            )
    if banking:
        others = [(text, intent) for intent, texts in banking.items() for text in texts[5 :: 100 if quick else 20]]
        print(f"BANKING77, 77 agents by their first five; {len(others)} other utterances (nothing was fitted on these)")
        for who, make in (("rank_bm25", reference), ("bureau", bureau)):
            _print_line(who, accuracy(make(first_cards(banking)), others))
        for embedded in models:
            embedded.learn(text for text, _ in others)
            found = accuracy(bureau(first_cards(banking), embedded=embedded), others)
            _print_line(f"  + {embedded.model}", found)


def _print_draws(clinc: Clinc, questions: Asked, models: list[Embedded], draws: int) -> None:
    makers = {"rank_bm25": reference, "bureau": bureau}
    makers |= {f"  + {embedded.model}": partial(bureau, embedded=embedded) for embedded in models}
    drawn = [drawn_cards(clinc.train, seed) for seed in range(draws)]
    print(f"{draws} draws of five of train by chance: mean ± standard deviation (least)")
    for who, make in makers.items():
        found = [accuracy(make(cards), questions) for cards in drawn]
        print(f"{who:40}{_spread([one.first for one in found])}{_spread([one.among_five for one in found])}")


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):8.3f} ± {statistics.stdev(values):.3f} ({min(values):.3f})"


def _print_line(label: str, found: Accuracy) -> None:
    print(f"{label:40}{found.first:8.3f}{found.among_five:9.3f}")


def print_threshold(clinc: Clinc, embedded: Embedded | None, quick: bool) -> None:
    """Out of scope = the best score is under the threshold. One utterance of six is taken to be foreign."""
    own = clinc.validation[:: 5 if quick else 1]
    if embedded:
        embedded.learn([text for text, _ in own] + clinc.foreign_validation)
    rank = bureau(first_cards(clinc.train), embedded=embedded)
    own_best = [(hits[0] if (hits := rank(text)) else ("", 0.0), right) for text, right in own]
    foreign_best = [hits[0][1] if (hits := rank(text)) else 0.0 for text in clinc.foreign_validation]
    print(f"\nBy {f'words and {embedded.model}' if embedded else 'words alone'}")
    print(f"Out of scope, {len(foreign_best)} foreign and {len(own)} own validation utterances (first five of train)")
    print("threshold  recall  precision  same at 1 foreign in 6   own answered  right of those")
    for threshold in (0.3, DEFAULT_THRESHOLD, 0.7):
        caught = sum(score < threshold for score in foreign_best)
        stopped = sum(score < threshold for (_, score), _ in own_best)
        right = sum(name == wanted for (name, score), wanted in own_best if score >= threshold)
        recall, stopping = caught / len(foreign_best), stopped / len(own)
        mixed = recall / 6 / (recall / 6 + stopping * 5 / 6) if recall else 0.0
        mark = "*" if threshold == DEFAULT_THRESHOLD else " "
        print(
            f"{threshold:8.2f}{mark}{recall:8.2f}{caught / max(1, caught + stopped):11.2f}{mixed:24.2f}"
            f"{1 - stopping:15.2f}{right / max(1, len(own) - stopped):16.2f}"
        )
    print("(* the default; precision counts an own utterance as falsely stopped even where the guess was wrong)")


@dataclass(frozen=True)
class Times:
    """Milliseconds. CPU time is what a search takes on a core of its own; wall time includes waiting for one."""

    p50: float
    p99: float
    cpu_p99: float


def print_latency(utterances: list[str], quick: bool) -> None:
    print("\nOne search for five hits, and one put(), in ms: p50, p99, p99 of CPU time; the ratio is of CPU time")
    print(f"{'agents':>8}{'bureau':>14}{'rank_bm25':>26}{'ratio':>13}{'put()':>14}{'MB':>13}")
    for size in SIZES:
        cards = grouped_cards(utterances, size)
        times, slow = (200, 40) if quick else (1_000, 200)
        ours = _measure(bureau(cards), utterances[:: len(utterances) // times])
        theirs = _measure(reference(cards), utterances[:: len(utterances) // slow])
        megabytes = "–" if quick else f"{_memory(cards):.0f}"
        ratio = f"{ours.cpu_p99 / theirs.cpu_p99:7.2f}"
        print(f"{size:8}{_line(ours)}{_line(theirs)}{ratio}{_line(_put(cards))}{megabytes:>6}")


def print_embedded_latency(utterances: list[str], models: list[Embedded], quick: bool) -> None:
    """The query's vector is known: this is the search alone. Beside it what embedding one query takes."""
    print("\nWith embeddings: a search; embedding a query; in ms as above; MB of vectors")
    for size in SIZES[:2] if quick else SIZES:
        cards = grouped_cards(utterances, size)
        for embedded in models:
            # Random vectors: how long a product takes does not depend on what is in it.
            vectors, chance = Vectors(embedded.dimensions), np.random.default_rng(3)
            for card in cards:
                vectors.put(card.name, [*chance.standard_normal((len(texts_of(card)), embedded.dimensions))])
            index = AgentIndex()
            for card in cards:
                index.put(card)
            asked = utterances[:: len(utterances) // (100 if quick else 500)]
            query, tuning = chance.standard_normal(embedded.dimensions), FITTED[embedded.model]
            search = _measure(partial(_searched, index, vectors, query.tolist(), tuning), asked)
            making = _measure(embedded.make, asked[:100])
            print(f"{size:8}  {embedded.model:18}{_line(search)}{_line(making)}{vectors.megabytes:8.0f}")


def _searched(index: AgentIndex, vectors: Vectors, query: list[float], tuning: Tuning, text: str) -> object:
    return index.search(text, K, meaning=Meaning(vectors.cosines(query), tuning))


def _line(times: Times) -> str:
    return f"{times.p50:8.2f}{times.p99:8.2f}{times.cpu_p99:8.2f}"


def _measure(act: Callable[[str], object], arguments: list[str]) -> Times:
    for argument in arguments[:20]:
        act(argument)
    wall, cpu = [], []
    for argument in arguments:
        start, start_cpu = time.perf_counter(), time.thread_time()
        act(argument)
        cpu.append((time.thread_time() - start_cpu) * 1e3)
        wall.append((time.perf_counter() - start) * 1e3)
    wall.sort()
    cpu.sort()
    last = int(len(wall) * 0.99)
    return Times(wall[len(wall) // 2], wall[last], cpu[last])


def _put(cards: list[Card]) -> Times:
    """Replacing one agent of a full index."""
    index = AgentIndex()
    for card in cards:
        index.put(card)
    replaced = [str(number % len(cards)) for number in range(500)]
    return _measure(lambda number: index.put(replace(cards[int(number)], name=cards[-1].name)), replaced)


def _memory(cards: list[Card]) -> float:
    tracemalloc.start()
    index = AgentIndex()
    for card in cards:
        index.put(card)
    index.search(cards[0].examples[0])
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the utterances, no ablation, no memory")
    quick: bool = parser.parse_args().quick
    try:
        clinc, banking = load_clinc(), load_banking()
    except MalformedData as error:
        print(f"malformed data: {error}", file=sys.stderr)
        return 1
    if clinc is None:
        print(f"no data in {DATA}: latency alone, on a synthetic catalogue")
        print_latency(synthetic_utterances(28_000), quick)
        print_embedded_latency(synthetic_utterances(28_000), embedders(), quick)
        return 0
    models = embedders()
    print_accuracy(clinc, banking, models, quick)
    for embedded in (None, *models):
        print_threshold(clinc, embedded, quick)
    every = [text for texts in clinc.train.values() for text in texts] + [text for text, _ in clinc.validation]
    every += [text for texts in (banking or {}).values() for text in texts]
    print_latency(list(dict.fromkeys(every)), quick)
    print_embedded_latency(list(dict.fromkeys(every)), models, quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
