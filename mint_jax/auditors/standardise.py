"""Standardisation of AAD with the statistics of an auditor's own training part."""

from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

_CHUNK_BYTES = 1 << 26
_DEAD = 1e-6  # a spread below this share of the largest value is rounding, not information


class Standardise(nn.Module):
    """(x - mean) * scale per channel, (..., C), from the collection `normalisation`.

    {layer: (..., C)} is standardised layer by layer.
    """

    @nn.compact
    def __call__(self, x: jax.Array | Mapping) -> jax.Array | dict:
        if isinstance(x, Mapping):
            return {layer: Standardise(name=layer)(own) for layer, own in x.items()}
        channels = x.shape[-1:]
        mean = self.variable("normalisation", "mean", jnp.zeros, channels)
        scale = self.variable("normalisation", "scale", jnp.ones, channels)
        return (x - mean.value) * scale.value


def statistics(features: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and 1 / standard deviation per channel over `rows`; maps count every position.

    The data are read in chunks, so `features` may be a `np.memmap`. A channel that is
    constant over the rows gets scale 0: the auditor cannot have learned anything from it.

    Args:
      features: (n, ..., C) float.
      rows: (k,) int indices.

    Returns:
      {"mean": (C,), "scale": (C,)} float32, computed in float64.
    """
    count, mean, spread = 0, 0.0, 0.0
    largest = np.zeros(features.shape[-1])
    for x in _chunks(features, rows):  # Chan's update: no cancellation, whatever the mean
        n, m = len(x), x.mean(0)
        delta = m - mean
        spread = spread + ((x - m) ** 2).sum(0) + delta**2 * (count * n / (count + n))
        count, mean = count + n, mean + delta * (n / (count + n))
        largest = np.maximum(largest, np.abs(x).max(0))
    deviation = np.sqrt(spread / count)
    alive = deviation > _DEAD * largest
    scale = np.where(alive, 1 / np.where(alive, deviation, 1), 0)
    return {"mean": mean.astype(np.float32), "scale": scale.astype(np.float32)}


def _chunks(features: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    size = max(1, _CHUNK_BYTES // (8 * int(np.prod(features.shape[1:]))))
    for i in range(0, len(rows), size):
        x = np.asarray(features[rows[i : i + size]], np.float64)
        yield x.reshape(-1, x.shape[-1])
