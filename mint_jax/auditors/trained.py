"""A trained auditor: everything that turns AAD of its audited model into a score."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mint_jax.auditors import scoring
from mint_jax.errors import InputError


@dataclass(frozen=True)
class TrainedAuditor:
    """An auditor of one audited model.

    Attributes:
      model: the Linen module, or the configuration of a neighbour or fusion auditor; it has
        `kind` and `reduce`, and `layer` or `layers`.
      variables: tree of float32 arrays: parameters, normalisation, banks.
      input_shape: shape of one row of the AAD that it reads; {layer: shape} where it reads
        several layers.
      audited_sha256: of the audited model on whose AAD it was trained.
      fit: how it was trained; JSON-able.
      calibration: {"members": (a,), "non_members": (b,)} scores of images that it was not
        trained on, and what an audit keeps beside them; empty where none were given.
      meta: whatever else the exporter wants kept, measured operating points for one;
        JSON-able.
    """

    model: Any
    variables: Mapping
    input_shape: tuple[int, ...] | Mapping[str, tuple[int, ...]]
    audited_sha256: str
    fit: Mapping = field(default_factory=dict)
    calibration: Mapping[str, np.ndarray] = field(default_factory=dict)
    meta: Mapping = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """One of vanilla, cnn, neighbour, fusion."""
        return self.model.kind

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose AAD `score` wants."""
        return tuple(self._shapes)

    @property
    def reduce(self) -> str:
        """The reduction of `make_extractor` that it wants: "max" or "map"."""
        return self.model.reduce

    def score(self, aad: Mapping[str, np.ndarray]) -> np.ndarray:
        """Membership probabilities, (B,) float32; a row's bits depend on that row alone.

        Args:
          aad: {layer: (B, ...)} as `make_extractor(model, auditor.layers, auditor.reduce)`
            gives.

        Raises:
          InputError: a layer is absent or its rows have another shape.
        """
        features = select(aad, self._shapes)
        if not isinstance(self.input_shape, Mapping):
            features = features[self.model.layer]
        return scoring.scores(self._function(), self.model, [self.variables], features)[0]

    @property
    def _shapes(self) -> Mapping[str, tuple[int, ...]]:
        if isinstance(self.input_shape, Mapping):
            return self.input_shape
        return {self.model.layer: self.input_shape}

    def _function(self) -> Callable:
        return getattr(type(self.model), "probability", scoring.probability)


def select(
    aad: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """The layers of `shapes` out of AAD {layer: (B, ...)}; `shapes` are of one row.

    Raises:
      InputError: a layer is absent or its rows have another shape.
    """
    for layer, shape in shapes.items():
        if layer not in aad:
            raise InputError(f"the auditor reads {layer}; the AAD has {', '.join(aad)}")
        found = tuple(aad[layer].shape[1:])
        if found != shape:
            raise InputError(f"the auditor reads {layer} as {shape}; the AAD has {found}")
    return {layer: aad[layer] for layer in shapes}
