"""Exact cosine search of a bank of embeddings, block by block on the device."""

import jax
import jax.numpy as jnp

_BLOCK = 4096  # bank rows searched at once


def unit(x: jax.Array) -> jax.Array:
    """Rows of length 1; a row of zeros stays."""
    norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return x / jnp.where(norm > 0, norm, 1)


def cosine_statistics(
    queries: jax.Array, bank: jax.Array, k: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Exact search of a bank, block by block, in memory that does not grow with it.

    Args:
      queries: (B, D) of unit length.
      bank: (n, D) of unit length.
      k: how many of the largest cosines; all of them where n is smaller.

    Returns:
      the largest cosines in descending order (B, min(k, n)), mean (B,), standard deviation
      (B,).
    """
    n, k = len(bank), min(k, len(bank))
    size = min(_BLOCK, n)
    blocks = jnp.pad(bank, ((0, -n % size), (0, 0))).reshape(-1, size, bank.shape[1])
    valid = (jnp.arange(blocks.shape[0] * size) < n).reshape(-1, size)

    def search(carry, block):
        largest, count, mean, spread = carry
        rows, mask = block
        cosines = queries @ rows.T
        candidates = jnp.concatenate([largest, jnp.where(mask, cosines, -jnp.inf)], axis=-1)
        m = mask.sum()
        block_mean = jnp.where(mask, cosines, 0).sum(-1) / m
        block_spread = jnp.where(mask, (cosines - block_mean[:, None]) ** 2, 0).sum(-1)
        delta = block_mean - mean  # Chan's update: a sum of squares would cancel
        spread = spread + block_spread + delta**2 * (count * m / (count + m))
        mean = mean + delta * (m / (count + m))
        return (jax.lax.top_k(candidates, k)[0], count + m, mean, spread), None

    zeros = jnp.zeros(len(queries))
    start = (jnp.full((len(queries), k), -jnp.inf), jnp.float32(0), zeros, zeros)
    (largest, _, mean, spread), _ = jax.lax.scan(search, start, (blocks, valid))
    return largest, mean, jnp.sqrt(spread / n)
