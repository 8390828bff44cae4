"""From a reference such as ``offline`` or ``openai:gpt-…`` to a model. Makes each once, when first asked for."""

from collections.abc import Callable, Mapping

from services.runtime.models.model import Model, ModelFailed

MakeModel = Callable[[str], Model]
"""From the part behind the colon ("" when there is none) to a model."""

REMEMBERED_MODELS = 256


class Models:
    def __init__(self, providers: Mapping[str, MakeModel], default: str) -> None:
        self._providers, self._default = dict(providers), default
        self._made: dict[str, Model] = {}

    @property
    def providers(self) -> list[str]:
        return sorted(self._providers)

    def get(self, reference: str | None) -> Model:
        """None means the default. Raises ModelFailed when nobody provides such a model."""
        reference = reference or self._default
        if reference not in self._made:
            provider, _, name = reference.partition(":")
            make = self._providers.get(provider)
            if make is None:
                raise ModelFailed(f"no provider of model {reference!r} is set up; there are {self.providers}")
            if len(self._made) >= REMEMBERED_MODELS:
                self._made.clear()
            self._made[reference] = make(name)
        return self._made[reference]
