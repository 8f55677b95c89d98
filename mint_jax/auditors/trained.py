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
      model: the Linen module, or the configuration of a neighbour auditor; it has `kind`,
        `layer` and `reduce`.
      variables: tree of float32 arrays: parameters, normalisation, banks.
      input_shape: shape of one row of the AAD that it reads.
      audited_sha256: of the audited model on whose AAD it was trained.
      fit: how it was trained; JSON-able.
      calibration: {"members": (a,), "non_members": (b,)} scores of images that it was not
        trained on; empty where none were given.
      meta: whatever else the exporter wants kept, measured operating points for one;
        JSON-able.
    """

    model: Any
    variables: Mapping
    input_shape: tuple[int, ...]
    audited_sha256: str
    fit: Mapping = field(default_factory=dict)
    calibration: Mapping[str, np.ndarray] = field(default_factory=dict)
    meta: Mapping = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """One of vanilla, cnn, neighbour."""
        return self.model.kind

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose AAD `score` wants."""
        return (self.model.layer,)

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
          InputError: the layer is absent or its rows have another shape.
        """
        layer = self.model.layer
        if layer not in aad:
            raise InputError(f"the auditor reads {layer}; the AAD has {', '.join(aad)}")
        shape = tuple(aad[layer].shape[1:])
        if shape != self.input_shape:
            raise InputError(
                f"the auditor reads {layer} as {self.input_shape}; the AAD has {shape}"
            )
        return scoring.scores(self._function(), self.model, [self.variables], aad[layer])[0]

    def _function(self) -> Callable:
        return getattr(type(self.model), "probability", scoring.probability)
