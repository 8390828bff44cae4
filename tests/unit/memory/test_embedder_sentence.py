"""What the sentence model promises. Without it (`make sentence`) its arithmetic alone is tested."""

import json
import math
from importlib.util import find_spec
from pathlib import Path

import pytest

from kit.settings import SettingsError
from services.memory.app import create_app
from services.memory.settings import Settings

np = pytest.importorskip("numpy", reason="the extra `sentence` is not installed")
pytest.importorskip("tokenizers", reason="the extra `sentence` is not installed")

from services.memory import embedder_sentence as sentence  # noqa: E402 - after it is known that it can be imported

needs_model = pytest.mark.skipif(
    find_spec(sentence.PACKAGE) is None, reason="the model is not installed: make sentence"
)


@pytest.fixture(scope="module")
def embedder() -> sentence.SentenceEmbedder:
    return sentence.SentenceEmbedder()


def cosine(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


@needs_model
async def test_paraphrases_are_closer_than_unrelated_texts(embedder: sentence.SentenceEmbedder) -> None:
    for text, same, other in (
        ("how do i reset my password", "i forgot my login credentials", "how do i bake my bread"),
        ("will it rain tomorrow", "is a shower forecast for the next day", "my car will be sold soon"),
        ("where is my parcel", "has the package been shipped yet", "the dentist is ill today"),
    ):
        given, near, far = await embedder.embed([text, same, other])
        assert cosine(given, near) > cosine(given, far) + 0.1


@needs_model
async def test_vectors_are_those_of_the_model(embedder: sentence.SentenceEmbedder) -> None:
    """Frozen: stored vectors are compared with tomorrow's. Whoever changes this must change NAME."""
    (vector,) = await embedder.embed(["Likes tea"])
    assert vector[:4] == pytest.approx(FIRST, abs=1e-4)


FIRST = [-0.076977, -0.046016, 0.045974, 0.024112]


@needs_model
async def test_a_text_has_the_same_vector_alone_and_among_others(embedder: sentence.SentenceEmbedder) -> None:
    texts = ["tea", "", "word " * 2000, "\ud800 lone", "東京の天気", "a longer text about something else"] * 8
    together = await embedder.embed(texts)
    assert together == await embedder.embed(texts)
    alone = [(await embedder.embed([text]))[0] for text in texts[:6]]
    assert np.abs(np.array(together[:6]) - np.array(alone)).max() < 1e-5
    for vector in alone:
        assert len(vector) == sentence.DIMENSIONS
        assert cosine(vector, vector) == pytest.approx(1, abs=1e-5)
    assert await embedder.embed([]) == []


@needs_model
async def test_only_the_beginning_of_a_long_text_is_read(embedder: sentence.SentenceEmbedder) -> None:
    long = "tea " * sentence.MAX_PIECES
    one, other = await embedder.embed([long, long + "coffee"])
    assert cosine(one, other) == pytest.approx(1, abs=1e-5)


def test_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(sentence.ModelMissing, match="make sentence"):
        sentence.SentenceEmbedder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(sentence.ModelMissing, match="SHA-256"):
        sentence.SentenceEmbedder(tmp_path)


def test_a_missing_model_is_told_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence, "PACKAGE", "no_such_package")
    with pytest.raises(SettingsError, match="make sentence"):
        create_app(Settings(embedder="sentence"))


def test_safetensors_are_read() -> None:
    numbers = np.arange(6, dtype=np.float32)
    header = json.dumps({
        "__metadata__": {},
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
        "ids": {"dtype": "I64", "shape": [0], "data_offsets": [24, 24]},
    }).encode()  # fmt: skip
    content = len(header).to_bytes(8, "little") + header + numbers.tobytes()
    found = sentence._tensors(content)
    assert {name: tensor.tolist() for name, tensor in found.items()} == {"a": [[0, 1], [2, 3]], "b": [4, 5]}


def test_gelu_is_within_a_millionth_of_the_exact_one() -> None:
    xs = np.linspace(-8, 8, 4001, dtype=np.float32)
    exact = np.array([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in xs.tolist()])
    assert np.abs(sentence._gelu(xs) - exact).max() < 1e-6


def test_every_text_is_in_one_batch_of_bounded_size() -> None:
    pieces = [[1] * (1 + (number * 37) % sentence.MAX_PIECES) for number in range(300)]
    batches = list(sentence._batches(pieces))
    assert sorted(number for batch in batches for number in batch) == list(range(300))
    assert max(len(batch) * max(len(pieces[number]) for number in batch) for batch in batches) <= 2_048
