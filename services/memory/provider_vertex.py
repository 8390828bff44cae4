"""Embeddings from Gemini models on Vertex AI, through google-genai. An extra: imported only when it is chosen.

One text per call: what the API makes of several depends on the model, some merge them into one vector.
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/embeddings/get-text-embeddings
"""

import asyncio
from collections.abc import Sequence

import httpx
from google import genai
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.genai import errors, types

from bureau_contracts.memory import EmbedPurpose
from kit.outside_api import ApiFailed

TASKS = {EmbedPurpose.QUERY: "RETRIEVAL_QUERY", EmbedPurpose.DOCUMENT: "RETRIEVAL_DOCUMENT"}
_BUSY = frozenset({408, 429})


class VertexProvider:
    """Credentials come from the environment as Google's libraries read it, unless some are given."""

    texts_per_call = 1

    def __init__(
        self,
        client: httpx.AsyncClient,
        model: str,
        *,
        project: str,
        location: str,
        timeout_seconds: float,
        shorten_to: int | None = None,
        base_url: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._model, self._timeout, self._shorten_to = model, timeout_seconds, shorten_to
        self._project, self._location, self._credentials = project, location, credentials
        # google-genai would repeat calls by itself; one layer does (embedder_remote).
        self._options = types.HttpOptions(
            base_url=base_url,
            timeout=round(timeout_seconds * 1000),
            httpx_async_client=client,
            retry_options=types.HttpRetryOptions(attempts=1),
        )
        self._client: genai.Client | None = None

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose) -> list[list[float]]:
        return [await self._one(text, purpose) for text in texts]

    async def _one(self, text: str, purpose: EmbedPurpose) -> list[float]:
        config = types.EmbedContentConfig(task_type=TASKS[purpose], output_dimensionality=self._shorten_to)
        try:
            async with asyncio.timeout(self._timeout):
                if self._client is None:
                    self._client = await asyncio.to_thread(self._connect)
                models = self._client.aio.models
                answer = await models.embed_content(model=self._model, contents=text, config=config)
        except TimeoutError:
            raise ApiFailed(f"Vertex AI did not answer within {self._timeout:g} s") from None
        except errors.APIError as error:
            retryable = error.code in _BUSY or error.code >= 500
            words = str(error.message or "")[:200]
            raise ApiFailed(f"Vertex AI answered {error.code}", words=words, retryable=retryable) from error
        except GoogleAuthError as error:
            raise ApiFailed(f"no credentials for Vertex AI ({type(error).__name__})") from error
        except httpx.TransportError as error:
            raise ApiFailed(f"Vertex AI cannot be reached ({type(error).__name__})", retryable=True) from error
        except ValueError as error:  # JSONDecodeError and pydantic's ValidationError are ValueErrors
            raise ApiFailed("Vertex AI did not answer with an embedding") from error
        found = answer.embeddings or []
        if len(found) != 1 or not found[0].values:
            raise ApiFailed("Vertex AI did not answer with one embedding")
        return found[0].values

    def _connect(self) -> genai.Client:
        """In a thread: finding credentials may read files and ask a metadata server."""
        return genai.Client(
            vertexai=True,
            project=self._project,
            location=self._location,
            credentials=self._credentials,
            http_options=self._options,
        )
