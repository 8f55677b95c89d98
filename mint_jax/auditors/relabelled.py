"""Auditors with shuffled labels, hundreds at once: the null of a permutation test.

The cosines to known images do not depend on who is called a member. They are searched once; every
shuffle then finds its own nearest members and non-members among the nearest images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy.special import expit

from mint_jax.auditors.fusion import FusionConfig
from mint_jax.auditors.logistic import fit_logistic
from mint_jax.auditors.neighbour import NeighbourConfig
from mint_jax.auditors.parts import Neighbours

_ROWS = 512  # queries searched at once
_AHEAD = 16  # nearest images looked at for each that is wanted; more where they do not suffice


@dataclass(frozen=True)
class Relabelled:
    """P auditors of the same known images, each with labels of its own.

    Attributes:
      describe: (AAD of m images, their people or None) to features (P, m, F).
      regressions: P trees of coefficients.
    """

    describe: Callable[[Any, np.ndarray | None], np.ndarray]
    regressions: Sequence[Mapping[str, np.ndarray]]

    def predict(self, aad: Any) -> np.ndarray:
        """Membership probabilities (P, m) float32 of what the auditors read, of other people."""
        found = []
        for features in _chunks(self.describe, aad, None):
            logits = [
                (x - own["mean"]) * own["scale"] @ own["coefficients"] + own["intercept"]
                for x, own in zip(features, self.regressions)
            ]
            found.append(expit(np.stack(logits)).astype(np.float32))
        return np.concatenate(found, axis=1)


def fit_relabelled(
    embeddings: np.ndarray,
    labels: np.ndarray,
    bank: np.ndarray,
    bank_labels: np.ndarray,
    rows: np.ndarray,
    config: NeighbourConfig | None = None,
) -> Relabelled:
    """`fit_neighbours` for P labellings of the same images.

    Args:
      embeddings: (n, D).
      labels: (P, n) 1 = called a member.
      bank: (b, D) images of both banks.
      bank_labels: (P, b) likewise, each row with both classes.
      rows: (P, n) bool, the training rows.
      config: features and regularisation.
    """
    config = config or NeighbourConfig()
    searched = _Bank(_unit(bank), np.asarray(bank_labels).astype(int), None, (1, *config.top))
    return _fit(lambda x, _: searched.features(x, None), embeddings, None, labels, rows, config.l2)


def fit_relabelled_fusions(
    aad: Mapping[str, np.ndarray],
    labels: np.ndarray,
    identities: np.ndarray,
    rows: np.ndarray,
    config: FusionConfig,
) -> Relabelled:
    """`fit_fusions` for P labellings of the same images; a part's centre is that of all of them.

    Args:
      aad: {layer: (n, ...)}.
      labels: (P, n) 1 = called a member.
      identities: (n,).
      rows: (P, n) bool, the images that each knows.
      config: parts, none of which reads prototypes, and regularisation.
    """
    identities, called = np.asarray(identities), np.where(rows, labels, -1)
    known = {}
    for part in config.parts:
        if isinstance(part, Neighbours):
            everyone = part.fit(aad, np.ones(len(identities)), None)
            bank = _Bank(everyone.pop("members"), called, identities, part.top)
            known[part] = bank, {k: v for k, v in everyone.items() if k != "non_members"}

    def describe(aad: Mapping, people: np.ndarray | None) -> np.ndarray:
        found = []
        for part in config.parts:
            if part in known:
                bank, centre = known[part]
                queries = np.asarray(part.directions(centre, aad))
                found.append(bank.features(queries, people))
            else:
                alike = np.asarray(part.features({}, aad, None))
                found.append(np.broadcast_to(alike, (len(called), *alike.shape)))
        return np.concatenate(found, axis=-1)

    return _fit(describe, aad, identities, labels, rows, config.l2)


def _fit(
    describe: Callable,
    aad: Any,
    people: np.ndarray | None,
    labels: np.ndarray,
    rows: np.ndarray,
    l2: float,
) -> Relabelled:
    pieces = [x.astype(np.float32) for x in _chunks(describe, aad, people)]
    features = np.concatenate(pieces, axis=1)
    fits = [fit_logistic(x[own], y[own], l2) for x, y, own in zip(features, labels, rows)]
    return Relabelled(describe, fits)


def _chunks(describe: Callable, aad: Any, people: np.ndarray | None) -> Iterator[np.ndarray]:
    for begin in range(0, len(jax.tree.leaves(aad)[0]), _ROWS):
        rows = slice(begin, begin + _ROWS)
        own = None if people is None else people[rows]
        yield describe(jax.tree.map(lambda x, rows=rows: x[rows], aad), own)


@dataclass(frozen=True)
class _Bank:
    """Known images, which every labelling divides into members and non-members.

    Attributes:
      directions: (b, D) of unit length.
      labels: (P, b) 1 = called a member, 0 = a non-member, -1 = not known.
      people: (b,) whose they are, where queries are compared to images of others alone.
      top: for each k, the mean of the k largest cosines is a feature.
    """

    directions: np.ndarray
    labels: np.ndarray
    people: np.ndarray | None
    top: tuple[int, ...]

    def features(self, queries: np.ndarray, people: np.ndarray | None) -> np.ndarray:
        """(P, m, F) of (m, D), as `cosine_statistics` tells them; members' features first."""
        cosines = _unit(queries) @ self.directions.T.astype(np.float64)
        others = np.ones(cosines.shape) if people is None else people[:, None] != self.people
        sides = (self._of_side(cosines, others, self.labels == label) for label in (1, 0))
        return np.concatenate(list(sides), axis=-1)

    def _of_side(self, cosines: np.ndarray, others: np.ndarray, side: np.ndarray) -> np.ndarray:
        """(P, m, F / 2) of cosines (m, b) to the images in `side`, (P, b) bool, of `others`."""
        seen = cosines * others
        count = side @ others.T.astype(float)
        wanted = [np.minimum(k, count).astype(int) for k in self.top]
        ordered = np.where(others, cosines, -np.inf)
        largest = _largest(ordered, side, max(int(w.max()) for w in wanted))
        sums = np.cumsum(largest, axis=-1)
        tops = [np.take_along_axis(sums, w[..., None] - 1, -1)[..., 0] / w for w in wanted]
        mean = side @ seen.T / count
        spread = np.sqrt(np.maximum(side @ (seen**2).T / count - mean**2, 0))
        return np.stack([*tops, mean, spread], axis=-1)


def _unit(x: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(x, axis=1, keepdims=True).astype(np.float64)
    return x / np.where(norm > 0, norm, 1)


def _largest(cosines: np.ndarray, side: np.ndarray, k: int) -> np.ndarray:
    """The k largest finite cosines of each row among the images in `side`, (P, m, k), falling."""
    ahead = _AHEAD * k
    while True:
        ahead = min(ahead, cosines.shape[1])
        near = np.argpartition(-cosines, ahead - 1, axis=1)[:, :ahead]
        values = np.take_along_axis(cosines, near, 1)
        order = np.argsort(-values, axis=1)
        near, values = (np.take_along_axis(x, order, 1) for x in (near, values))
        found = np.zeros((len(side), len(cosines), k))
        for p, own in enumerate(side):
            hit = own[near] & np.isfinite(values)
            place = np.cumsum(hit, axis=1)
            hit &= place <= k
            row, column = np.nonzero(hit)
            found[p, row, place[row, column] - 1] = values[row, column]
            if ahead < cosines.shape[1] and place[:, -1].min() < k:
                break
        else:
            return found
        ahead *= 4
