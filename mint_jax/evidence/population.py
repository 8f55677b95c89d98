"""The images of a population by parts, what networks read of them, and draws among them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mint_jax import aad

CONV_LAYERS = ("conv1", "conv2", "conv3", "conv4")
OUTCOME = "outcome"


@dataclass(frozen=True)
class Readings:
    """What one network says of the images of one part; row i of every array is one image.

    Attributes:
      maxima: {layer: (n, C) float32} spatial maxima, the outcome among them.
      maps: {layer: (n, H, W, C) float32 or bfloat16} activation maps; empty where only maxima are
        needed.
    """

    maxima: Mapping[str, np.ndarray]
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)

    def maximum(self, layer: str) -> np.ndarray:
        """Maxima (n, C) of a layer, or of all convolutional layers side by side."""
        if layer != aad.ALL_CONV:
            return self.maxima[layer]
        return np.concatenate([v for k, v in self.maxima.items() if k.startswith("conv")], axis=-1)

    def rows(self, index: Any) -> "Readings":
        """Those of some of the images."""
        return Readings(*({k: v[index] for k, v in x.items()} for x in (self.maxima, self.maps)))


@dataclass(frozen=True)
class Part:
    """The images of one part of one population.

    Attributes:
      identities: (n,) int64.
      readings: {network: Readings}; the networks are "audited", "random_network" and others.
      pixels: (n, F) float32 statistics that no network computed; (n, 0) where not wanted.
      databases: (n,) int64 which of the databases each image is from.
      thumbnails: (n, D) uint8 of `support.thumbnails`, where they are wanted.
    """

    identities: np.ndarray
    readings: Mapping[str, Readings]
    pixels: np.ndarray
    databases: np.ndarray | None = None
    thumbnails: np.ndarray | None = None

    def rows(self, index: Any) -> "Part":
        """Some of the images; `index` as numpy takes it."""
        readings = {name: read.rows(index) for name, read in self.readings.items()}
        further = (x if x is None else x[index] for x in (self.databases, self.thumbnails))
        return Part(self.identities[index], readings, self.pixels[index], *further)


# By part: bank, train, validation (chooses an auditor), threshold (non-members alone), calibration
# and test; nobody is in two of them.
Population = Mapping[str, Part]


def draw(
    labels: np.ndarray, identities: np.ndarray, size: int, validation: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `size` training samples, half of them members, and holds out some for validation.

    Whole identities are taken in a random order, so that no identity stands on both sides.

    Args:
      labels: (n,) 1 = member.
      identities: (n,) int64.
      size: number of samples, training and validation together.
      validation: share of them held out.
      seed: of the draw.

    Returns:
      train and validation, each (n,) bool.
    """
    rng = np.random.default_rng([seed, size])
    unique, inverse = np.unique(identities, return_inverse=True)
    rank = rng.permutation(len(unique))[inverse]
    train, held = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(rank[rows], kind="stable")][: size // 2]
        cut = int(len(rows) * (1 - validation))
        begin = int(np.argmax(rank[rows] == rank[rows[cut]]))  # of the identity at the cut
        cut = begin or cut
        train[rows[:cut]], held[rows[cut:]] = True, True
    return train, held


def shuffle_people(labels: np.ndarray, identities: np.ndarray, seed: int) -> np.ndarray:
    """Labels (n,) at random, the same for all images of a person, as many members as before.

    People are taken in a random order until the members are as many images as they were; the
    person at the border may be cut.
    """
    unique, inverse = np.unique(identities, return_inverse=True)
    rank = np.random.default_rng(seed).permutation(len(unique))[inverse]
    shuffled = np.zeros_like(labels)
    shuffled[np.argsort(rank, kind="stable")[: int(labels.sum())]] = 1
    return shuffled
