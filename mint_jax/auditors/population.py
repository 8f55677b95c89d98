"""What `fit_population` returns: P trained auditors of the same layers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mint_jax.auditors import scoring
from mint_jax.auditors.trained import TrainedAuditor, select


@dataclass(frozen=True)
class Population:
    """P trained auditors.

    Attributes:
      module: the auditor's Linen module.
      config: the `FitConfig` that trained them.
      variables: P trees: "params" and "normalisation".
      validation_loss: (P,) the lowest cross-entropy on the validation part.
      epoch: (P,) where it was reached.
      input_shape: shape of one row of AAD; {layer: shape} where they read several layers.
    """

    module: Any
    config: Any
    variables: list[dict]
    validation_loss: np.ndarray
    epoch: np.ndarray
    input_shape: tuple[int, ...] | Mapping[str, tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.variables)

    def predict(self, features: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
        """Membership probabilities (P, m) float32 of AAD (m, ...), or {layer: (m, ...)}.

        Raises:
          InputError: of several layers one is absent, or its rows have another shape.
        """
        if isinstance(self.input_shape, Mapping):
            features = select(features, self.input_shape)
        return scoring.scores(scoring.probability, self.module, self.variables, features)

    def auditor(
        self,
        p: int,
        *,
        audited_sha256: str,
        calibration: Mapping[str, np.ndarray] | None = None,
        **meta: object,
    ) -> TrainedAuditor:
        """Auditor `p`, ready for export.

        Args:
          p: which of the population.
          audited_sha256: of the audited model whose AAD it was trained on.
          calibration: {"members": (a,), "non_members": (b,)} its scores on held-out images.
          **meta: JSON-able facts to keep with it, such as measured operating points.
        """
        fit = asdict(self.config) | {
            "validation_loss": float(self.validation_loss[p]),
            "epoch": int(self.epoch[p]),
        }
        return TrainedAuditor(
            self.module,
            self.variables[p],
            self.input_shape,
            audited_sha256,
            fit,
            calibration or {},
            meta,
        )
