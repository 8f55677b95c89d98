"""The neighbour auditor: cosines of an embedding to banks of known members and non-members.

A model that was trained on an image tends to place its views near what it learned from
them, so a member lies closer to other members than a non-member does. The features are
maxima, means of the largest, means and standard deviations of the cosines to each bank; a
logistic regression weighs them. The banks must not hold the person of a queried image: the
auditor would become a face recogniser. Not from the paper; a k-nearest-neighbour attack on
embeddings in the sense of Shokri et al., arXiv 1610.05820, with the distances as features.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax.auditors import logistic, scoring
from mint_jax.auditors.cosines import cosine_statistics, unit
from mint_jax.auditors.trained import TrainedAuditor
from mint_jax.errors import InputError


@dataclass(frozen=True)
class NeighbourConfig:
    """A neighbour auditor.

    Attributes:
      layer: the layer of the audited model whose output (B, D) is compared.
      top: for each k, the mean of the k largest cosines is a feature.
      l2: weight of the squared norm of the regression's coefficients; scikit-learn's 1 / C.
    """

    layer: str = "outcome"
    top: tuple[int, ...] = (5, 20)
    l2: float = 1.0

    kind: ClassVar[str] = "neighbour"
    reduce: ClassVar[str] = "max"
    templates: ClassVar[bool] = True  # its variables hold people's embeddings

    def __post_init__(self):
        object.__setattr__(self, "top", tuple(self.top))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of `features`."""
        each = ("max", *(f"top{k}" for k in self.top), "mean", "std")
        return tuple(f"{bank}_{f}" for bank in ("members", "non_members") for f in each)

    def features(self, variables: Mapping, embeddings: jax.Array) -> jax.Array:
        """Neighbour features (B, F) of embeddings (B, D); pure and jittable."""
        banks = (variables["bank_members"], variables["bank_non_members"])
        queries = unit(embeddings)
        return jnp.concatenate([self._of_bank(queries, bank) for bank in banks], axis=-1)

    def probability(self, variables: Mapping, embeddings: jax.Array) -> jax.Array:
        """Membership probabilities (B,) of embeddings (B, D)."""
        features = self.features(variables, embeddings)
        return logistic.probability(variables["regression"], features)

    def _of_bank(self, queries: jax.Array, bank: jax.Array) -> jax.Array:
        largest, mean, deviation = cosine_statistics(queries, bank, max((1, *self.top)))
        tops = [largest[:, :k].mean(-1) for k in (1, *self.top)]
        return jnp.stack([*tops, mean, deviation], axis=-1)


@dataclass(frozen=True)
class NeighbourPopulation:
    """P neighbour auditors that share their banks; the interface of `Population`.

    Attributes:
      config: of all of them.
      banks: {"bank_members": (a, D), "bank_non_members": (b, D)} float32, of unit length.
      regressions: P trees of coefficients.
    """

    config: NeighbourConfig
    banks: Mapping[str, np.ndarray]
    regressions: list[dict]

    def __len__(self) -> int:
        return len(self.regressions)

    def predict(self, embeddings: np.ndarray) -> np.ndarray:
        """Membership probabilities (P, m) float32 of embeddings (m, D); one search."""
        features = neighbour_features(self.config, self.banks, embeddings)
        return np.stack([logistic.probability(r, features) for r in self.regressions])

    def auditor(
        self,
        p: int,
        *,
        audited_sha256: str,
        calibration: Mapping[str, np.ndarray] | None = None,
        **meta: object,
    ) -> TrainedAuditor:
        """Auditor `p`, ready for export; arguments as of `Population.auditor`."""
        variables = {**self.banks, "regression": self.regressions[p]}
        shape = (self.banks["bank_members"].shape[1],)
        fit = {"l2": self.config.l2, "config": asdict(self.config)}
        return TrainedAuditor(
            self.config, variables, shape, audited_sha256, fit, calibration or {}, meta
        )


def neighbour_features(
    config: NeighbourConfig, banks: Mapping[str, np.ndarray], embeddings: np.ndarray
) -> np.ndarray:
    """Features (n, F) float32 of embeddings (n, D), searched in chunks of one shape."""
    run = scoring.program(NeighbourConfig.features, config)
    banks = jax.tree.map(jnp.asarray, dict(banks))
    rows = [
        np.asarray(run(banks, chunk))[:count]
        for chunk, count in scoring.chunks(embeddings, config.reduce)
    ]
    return np.concatenate(rows)


def fit_neighbours(
    embeddings: np.ndarray,
    labels: np.ndarray,
    bank_members: np.ndarray,
    bank_non_members: np.ndarray,
    rows: np.ndarray,
    config: NeighbourConfig | None = None,
) -> NeighbourPopulation:
    """Fits one neighbour auditor on each selection of rows, over the same banks.

    The fit is convex and nothing in it is random. There is no early stopping, so training
    and validation rows may both be given.

    Args:
      embeddings: (n, D) outcomes of known members and non-members.
      labels: (n,) 1 = member.
      bank_members, bank_non_members: (a, D) and (b, D); no person of theirs is in
        `embeddings`.
      rows: (P, n) bool.
      config: features and regularisation.

    Raises:
      InputError: an empty bank, other dimensions, or a selection that lacks a class.
    """
    config, labels = config or NeighbourConfig(), np.asarray(labels)
    banks = {"bank_members": bank_members, "bank_non_members": bank_non_members}
    for name, bank in banks.items():
        if len(bank) == 0 or bank.shape[1:] != embeddings.shape[1:]:
            raise InputError(f"{name} is {bank.shape}; embeddings are {embeddings.shape}")
    banks = {k: np.asarray(unit(jnp.asarray(v, jnp.float32))) for k, v in banks.items()}
    features = neighbour_features(config, banks, embeddings)
    for mask in rows:
        if len(np.unique(labels[mask])) < 2:
            raise InputError("the rows of a neighbour auditor lack members or non-members")
    fits = [logistic.fit_logistic(features[mask], labels[mask], config.l2) for mask in rows]
    return NeighbourPopulation(config, banks, fits)


def fit_neighbour(
    embeddings: np.ndarray,
    labels: np.ndarray,
    bank_members: np.ndarray,
    bank_non_members: np.ndarray,
    config: NeighbourConfig | None = None,
    *,
    audited_sha256: str,
    calibration: Mapping[str, np.ndarray] | None = None,
    **meta: object,
) -> TrainedAuditor:
    """One neighbour auditor, fitted on all rows; the arguments of `fit_neighbours`."""
    rows = np.ones((1, len(embeddings)), bool)
    fitted = fit_neighbours(embeddings, labels, bank_members, bank_non_members, rows, config)
    return fitted.auditor(0, audited_sha256=audited_sha256, calibration=calibration, **meta)
