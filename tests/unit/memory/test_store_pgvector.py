"""What the Postgres store refuses before it connects to anything."""

import pytest

from services.memory.pgvector import Options
from services.memory.store_pgvector import PgvectorStore


@pytest.mark.parametrize("model", ["", "Model", "a'b", 'a"b', "a" * 51, "a b", "a/b"])
def test_a_models_name_that_could_be_read_as_sql_is_refused(model: str) -> None:
    with pytest.raises(ValueError, match="not a model"):
        PgvectorStore(Options("postgresql://nowhere/none", model, 8))


@pytest.mark.parametrize("dimensions", [0, -1, 4001])
def test_vectors_that_cannot_be_indexed_are_refused(dimensions: int) -> None:
    with pytest.raises(ValueError, match="not a model"):
        PgvectorStore(Options("postgresql://nowhere/none", "model", dimensions))
