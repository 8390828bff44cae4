"""Embeddings from any server that speaks OpenAI's API. https://platform.openai.com/docs/api-reference/embeddings"""

import base64
import binascii
import struct
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from bureau_contracts.memory import EmbedPurpose
from bureau_contracts.shapes import JsonObject
from kit.outside_api import ApiFailed, OutsideApi

TEXTS_PER_CALL = 64


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Embedding(_Lenient):
    index: int
    embedding: list[float] | str
    """Numbers, or base64 of little-endian 32-bit floats: some servers answer in one form whatever was asked for."""


class _Embeddings(_Lenient):
    data: list[_Embedding]


class OpenAiProvider:
    texts_per_call = TEXTS_PER_CALL

    def __init__(self, api: OutsideApi, model: str, *, shorten_to: int | None = None) -> None:
        """With `shorten_to` the model is asked for so many dimensions; not every server knows that wish."""
        self._api, self._model, self._shorten_to = api, model, shorten_to

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose) -> list[list[float]]:
        """The protocol knows no purpose: queries and documents are embedded alike."""
        body: JsonObject = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        if self._shorten_to is not None:
            body["dimensions"] = self._shorten_to
        raw = await self._api.post("/embeddings", body)
        try:
            found = _Embeddings.model_validate_json(raw).data
        except ValidationError as error:
            raise ApiFailed(f"{self._api.name} did not answer with embeddings") from error
        if sorted(each.index for each in found) != list(range(len(texts))):
            raise ApiFailed(f"{self._api.name} did not answer with one embedding per text")
        return [self._numbers(each.embedding) for each in sorted(found, key=lambda each: each.index)]

    def _numbers(self, written: list[float] | str) -> list[float]:
        if not isinstance(written, str):
            return written
        try:
            raw = base64.b64decode(written, validate=True)
            return list(struct.unpack(f"<{len(raw) // 4}f", raw))
        except (binascii.Error, struct.error) as error:
            raise ApiFailed(f"{self._api.name} did not answer with numbers") from error
