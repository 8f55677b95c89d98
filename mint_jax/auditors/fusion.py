"""The fused auditor: features of several parts, weighed by one logistic regression.

The known members and non-members are bank and training rows at once. At fitting each is compared
to the banks without the images of its own person, all of which are looked up: a cross-fit that
leaves out one person at a time, and is exact. Without it a training image finds itself in the bank
of its own side, and the regression learns nothing else. Later queries are compared to whole banks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax.auditors import logistic, scoring
from mint_jax.auditors.parts import Consistency, Neighbours, Part, from_json
from mint_jax.auditors.trained import TrainedAuditor
from mint_jax.errors import InputError


@dataclass(frozen=True)
class FusionConfig:
    """A fused auditor.

    Attributes:
      parts: what it reads; each as an object, or as the mapping that `parts.from_json` takes.
      l2: weight of the squared norm of the regression's coefficients; scikit-learn's 1 / C.

    Raises:
      InputError: no part, or one that is not known.
    """

    parts: tuple[Part, ...]
    l2: float = 1.0

    kind: ClassVar[str] = "fusion"
    reduce: ClassVar[str] = "max"

    def __post_init__(self):
        parts = tuple(from_json(p) if isinstance(p, Mapping) else p for p in self.parts)
        if not parts:
            raise InputError("a fused auditor takes at least one part")
        object.__setattr__(self, "parts", parts)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the AAD that its parts read, each once."""
        return tuple(dict.fromkeys(layer for part in self.parts for layer in part.layers))

    @classmethod
    def headless(cls, views: Sequence[str], l2: float = 1.0) -> "FusionConfig":
        """What the embedding says, of the photo and of its `views`, where there is no head."""
        views = tuple(views)
        alike = (Consistency("outcome", views),) if views else ()
        return cls((Neighbours(views=views), *alike), l2)

    @property
    def templates(self) -> bool:
        """Whether its variables hold embeddings of people."""
        return any(part.templates for part in self.parts)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of `features`."""
        return tuple(name for part in self.parts for name in part.feature_names)

    def features(
        self, variables: Mapping, aad: Mapping, people: Mapping | None = None
    ) -> jax.Array:
        """Features (B, F) of AAD {layer: (B, ...)}; pure and jittable, `people` as in `parts`."""
        each = [
            part.features(variables.get(str(i), {}), aad, people)
            for i, part in enumerate(self.parts)
        ]
        return jnp.concatenate(each, axis=-1)

    def features_of_others(self, variables: Mapping, rows: Mapping) -> jax.Array:
        """Features (B, F) by images of other people than the queried ones.

        Args:
          variables: of the parts, and "people" {bank: (n,)} int.
          rows: "aad" {layer: (B, ...)} and "queries" (B,) int.
        """
        people = {**variables["people"], "queries": rows["queries"]}
        return self.features(variables, rows["aad"], people)

    def probability(self, variables: Mapping, aad: Mapping) -> jax.Array:
        """Membership probabilities (B,) of AAD {layer: (B, ...)}."""
        return logistic.probability(variables["regression"], self.features(variables, aad))


@dataclass(frozen=True)
class Fitted:
    """What one fused auditor learned.

    Attributes:
      variables: {"0", "1", ...: variables of a part}.
      identities: {bank: (n,)} people of the banks' images; they are not exported.
      regression: coefficients.
    """

    variables: Mapping[str, Mapping[str, np.ndarray]]
    identities: Mapping[str, np.ndarray]
    regression: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class FusionPopulation:
    """P fused auditors, each with banks of its own; the interface of `Population`.

    Attributes:
      config: of all of them.
      fitted: P of them.
      input_shape: {layer: shape of one row of AAD}.
    """

    config: FusionConfig
    fitted: Sequence[Fitted]
    input_shape: Mapping[str, tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.fitted)

    def predict(
        self, aad: Mapping[str, np.ndarray], identities: np.ndarray | None = None
    ) -> np.ndarray:
        """Membership probabilities (P, m) float32.

        Args:
          aad: {layer: (m, ...)}.
          identities: (m,) of the queried people, of whom no image and no prototype is then looked
            at; None where the banks have none of theirs.
        """
        found = []
        for own in self.fitted:
            features = _features(self.config, own.variables, own.identities, aad, identities)
            found.append(logistic.probability(own.regression, features))
        return np.stack(found)

    def auditor(
        self,
        p: int,
        *,
        audited_sha256: str,
        calibration: Mapping[str, np.ndarray] | None = None,
        **meta: object,
    ) -> TrainedAuditor:
        """Auditor `p`, ready for export; arguments as of `Population.auditor`."""
        own = self.fitted[p]
        variables = {**own.variables, "regression": own.regression}
        banks = {bank: len(people) for bank, people in own.identities.items()}
        fit = {"l2": self.config.l2, "banks": banks}
        return TrainedAuditor(
            self.config, variables, self.input_shape, audited_sha256, fit, calibration or {}, meta
        )


def fit_fusions(
    aad: Mapping[str, np.ndarray],
    labels: np.ndarray,
    identities: np.ndarray,
    rows: np.ndarray,
    config: FusionConfig,
    prototypes: tuple[np.ndarray, np.ndarray] | None = None,
) -> FusionPopulation:
    """Fits one fused auditor on each selection of rows; it knows no others.

    The fit is convex and nothing in it is random. There is no early stopping, so training and
    validation rows may both be given.

    Args:
      aad: {layer: (n, ...)} of known members and non-members, of all `config.layers`.
      labels: (n,) 1 = member.
      identities: (n,) people of the images.
      rows: (P, n) bool.
      config: parts and regularisation.
      prototypes: (c, D) of classes, and the people (c,) that they stand for, for parts that read
        them.

    Raises:
      InputError: a bank of fewer than two people, or prototypes that a part lacks or that do not
        fit.
    """
    labels, identities = np.asarray(labels), np.asarray(identities)
    aad = {layer: np.asarray(aad[layer]) for layer in config.layers}
    fitted = [
        _fit({k: v[own] for k, v in aad.items()}, labels[own], identities[own], config, prototypes)
        for own in rows
    ]
    return FusionPopulation(config, fitted, {k: tuple(v.shape[1:]) for k, v in aad.items()})


def _fit(
    aad: Mapping[str, np.ndarray],
    labels: np.ndarray,
    identities: np.ndarray,
    config: FusionConfig,
    prototypes: tuple[np.ndarray, np.ndarray] | None,
) -> Fitted:
    banks = {"members": identities[labels == 1], "non_members": identities[labels == 0]}
    vectors = None
    if prototypes is not None and any(part.access == "head" for part in config.parts):
        vectors, banks["prototypes"] = prototypes[0], np.asarray(prototypes[1])
    for bank, people in banks.items():
        if len(np.unique(people)) < 2:
            raise InputError(f"the {bank} are of fewer than two people: without one none is left")
    variables = {str(i): part.fit(aad, labels, vectors) for i, part in enumerate(config.parts)}
    features = _features(config, variables, banks, aad, identities)
    return Fitted(variables, banks, logistic.fit_logistic(features, labels, config.l2))


def fit_fusion(
    aad: Mapping[str, np.ndarray],
    labels: np.ndarray,
    identities: np.ndarray,
    config: FusionConfig,
    prototypes: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    audited_sha256: str,
    calibration: Mapping[str, np.ndarray] | None = None,
    **meta: object,
) -> TrainedAuditor:
    """One fused auditor, fitted on all rows; the arguments of `fit_fusions`."""
    rows = np.ones((1, len(labels)), bool)
    fitted = fit_fusions(aad, labels, identities, rows, config, prototypes)
    return fitted.auditor(0, audited_sha256=audited_sha256, calibration=calibration, **meta)


def _features(
    config: FusionConfig,
    variables: Mapping,
    banks: Mapping,
    aad: Mapping,
    identities: np.ndarray | None,
) -> np.ndarray:
    """(n, F) float32 of AAD; without images of the queries' `identities` where they are given."""
    rows = {layer: aad[layer] for layer in config.layers}
    if identities is None:
        return _run(FusionConfig.features, config, variables, rows)
    people = _numbers({"queries": np.asarray(identities), **banks})
    rows = {"aad": rows, "queries": people.pop("queries")}
    return _run(FusionConfig.features_of_others, config, {**variables, "people": people}, rows)


def _run(function: Callable, config: FusionConfig, variables: Mapping, rows: Mapping) -> np.ndarray:
    run, variables = scoring.program(function, config), jax.tree.map(jnp.asarray, variables)
    chunks = scoring.chunks(rows, config.reduce)
    return np.concatenate([np.asarray(run(variables, chunk))[:count] for chunk, count in chunks])


def _numbers(names: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Names of people as int32, the same number for the same person in every group."""
    numbers = np.unique(np.concatenate(list(names.values())), return_inverse=True)[1]
    ends = np.cumsum([len(group) for group in names.values()])[:-1]
    return dict(zip(names, np.split(numbers.astype(np.int32), ends)))
