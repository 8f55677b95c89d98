"""Neighbour auditors with shuffled labels, hundreds at once: the null of a permutation test.

The cosines to the images of both banks do not depend on who is called a member. They are searched
once; every shuffle then finds its own nearest members and non-members among the nearest images.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from mint_jax.auditors.logistic import fit_logistic
from mint_jax.auditors.neighbour import NeighbourConfig

_ROWS = 512  # queries searched at once
_AHEAD = 16  # nearest images looked at for each that is wanted; more where they do not suffice


@dataclass(frozen=True)
class RelabelledNeighbours:
    """P neighbour auditors over one bank, each with labels of its own.

    Attributes:
      config: of all of them.
      bank: (b, D) float64 of unit length, both banks together.
      labels: (P, b) bool, who is called a member in the bank.
      regressions: P trees of coefficients.
    """

    config: NeighbourConfig
    bank: np.ndarray
    labels: np.ndarray
    regressions: list[dict]

    def predict(self, embeddings: np.ndarray) -> np.ndarray:
        """Membership probabilities (P, m) float32 of embeddings (m, D)."""
        out = np.empty((len(self.regressions), len(embeddings)), np.float32)
        for rows, features in _features(self.config, embeddings, self.bank, self.labels):
            for p, weights in enumerate(self.regressions):
                standardised = (features[p] - weights["mean"]) * weights["scale"]
                logits = standardised @ weights["coefficients"] + weights["intercept"]
                out[p, rows] = expit(logits)
        return out


def fit_relabelled(
    embeddings: np.ndarray,
    labels: np.ndarray,
    bank: np.ndarray,
    bank_labels: np.ndarray,
    rows: np.ndarray,
    config: NeighbourConfig | None = None,
) -> RelabelledNeighbours:
    """`fit_neighbours` for P labellings of the same images.

    Args:
      embeddings: (n, D).
      labels: (P, n) 1 = called a member.
      bank: (b, D) images of both banks.
      bank_labels: (P, b) likewise, each row with both classes.
      rows: (P, n) bool, the training rows.
      config: features and regularisation.
    """
    config, bank_labels = config or NeighbourConfig(), np.asarray(bank_labels) == 1
    bank, labels = _unit(bank), np.asarray(labels)
    found = np.empty((len(labels), len(embeddings), len(config.feature_names)), np.float32)
    for where, features in _features(config, embeddings, bank, bank_labels):
        found[:, where] = features
    fits = [fit_logistic(x[r], y[r], config.l2) for x, y, r in zip(found, labels, rows)]
    return RelabelledNeighbours(config, bank, bank_labels, fits)


def _unit(x: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(x, axis=1, keepdims=True).astype(np.float64)
    return x / np.where(norm > 0, norm, 1)


def _features(
    config: NeighbourConfig, embeddings: np.ndarray, bank: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yields (rows, features (P, rows, F)), as `NeighbourConfig.features` computes them."""
    sides = [labels, ~labels]
    for begin in range(0, len(embeddings), _ROWS):
        rows = slice(begin, begin + _ROWS)
        cosines = _unit(embeddings[rows]) @ bank.T
        yield rows, np.concatenate([_of_side(config, cosines, side) for side in sides], axis=-1)


def _of_side(config: NeighbourConfig, cosines: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Features (P, m, F / 2) of cosines (m, b) to the bank's images in `side`, (P, b) bool."""
    count = side.sum(axis=1)[:, None]
    wanted = [np.minimum(k, count[:, 0]) for k in (1, *config.top)]
    largest = _largest(cosines, side, int(max(w.max() for w in wanted)))
    sums = np.cumsum(largest, axis=-1)
    tops = [sums[np.arange(len(side)), :, w - 1] / w[:, None] for w in wanted]
    mean = side @ cosines.T / count
    spread = np.sqrt(np.maximum(side @ (cosines**2).T / count - mean**2, 0))
    return np.stack([*tops, mean, spread], axis=-1)


def _largest(cosines: np.ndarray, side: np.ndarray, k: int) -> np.ndarray:
    """The k largest cosines of each row among the images in `side`, (P, m, k), falling."""
    ahead = _AHEAD * k
    while True:
        ahead = min(ahead, cosines.shape[1])
        near = np.argpartition(-cosines, ahead - 1, axis=1)[:, :ahead]
        values = np.take_along_axis(cosines, near, 1)
        order = np.argsort(-values, axis=1)
        near, values = (np.take_along_axis(x, order, 1) for x in (near, values))
        found = np.zeros((len(side), len(cosines), k))
        for p, own in enumerate(side):
            hit = own[near]
            place = np.cumsum(hit, axis=1)
            hit &= place <= k
            row, column = np.nonzero(hit)
            found[p, row, place[row, column] - 1] = values[row, column]
            if ahead < cosines.shape[1] and place[:, -1].min() < k:
                break
        else:
            return found
        ahead *= 4
