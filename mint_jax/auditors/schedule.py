"""Which rows an auditor reads in which step: drawn on the host from its own seed alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mint_jax.errors import InputError


@dataclass(frozen=True)
class Part:
    """Row indices of the parts of one auditor, its labels of all rows (n,), and its seed."""

    train: np.ndarray
    validation: np.ndarray
    labels: np.ndarray
    seed: int

    def steps(self, batch_size: int) -> int:
        """Training steps in an epoch."""
        return -(-len(self.train) // batch_size)


def parts(
    labels: np.ndarray, train: np.ndarray, validation: np.ndarray, seeds: Sequence[int]
) -> list[Part]:
    """Checks the masks of a population and turns them into indices.

    Args:
      labels: (n,) or (P, n), 0 or 1.
      train, validation: (P, n) bool.
      seeds: (P,).

    Raises:
      InputError: wrong shapes, a part that lacks one of the classes, or parts that overlap.
    """
    labels, train, validation = map(np.asarray, (labels, train, validation))
    shape = (len(seeds), labels.shape[-1])
    if train.shape != shape or validation.shape != shape:
        raise InputError(
            f"the parts have shapes {train.shape} and {validation.shape}; {shape} is needed"
        )
    if np.any(train & validation):
        raise InputError("a row is in both the training and the validation part")
    for name, mask in (("training", train), ("validation", validation)):
        for label, side in ((1, "members"), (0, "non-members")):
            if not np.all(np.any(mask & (labels == label), axis=1)):
                raise InputError(f"the {name} part of an auditor has no {side}")
    rows = (map(np.flatnonzero, masks) for masks in (train, validation))
    each = zip(*rows, np.broadcast_to(labels, shape), seeds, strict=True)
    return [Part(t, v, own, int(seed)) for t, v, own, seed in each]


def shuffled(part: Part, epoch: int) -> np.ndarray:
    """The order in which an epoch visits the training rows."""
    return np.random.default_rng([part.seed, epoch]).permutation(part.train)


def batches(
    rows: Sequence[np.ndarray], labels: Sequence[np.ndarray], steps: int, batch_size: int
) -> dict[str, np.ndarray]:
    """Cuts the rows of several auditors into batches; what is missing gets weight 0.

    Args:
      rows: one (k,) index array an auditor, k <= steps * batch_size.
      labels: (n,) of each auditor.

    Returns:
      "rows" int32, "labels" and "weights" float32, each (auditors, steps, batch_size).
    """
    index = np.zeros((len(rows), steps * batch_size), np.int32)
    targets, weights = np.zeros(index.shape, np.float32), np.zeros(index.shape, np.float32)
    for p, r in enumerate(rows):
        index[p] = r[0] if len(r) else 0  # padding repeats an auditor's own rows
        index[p, : len(r)], weights[p, : len(r)] = r, 1
        targets[p] = labels[p][index[p]]
    out = {"rows": index, "labels": targets, "weights": weights}
    return {k: v.reshape(len(rows), steps, batch_size) for k, v in out.items()}
