"""Exact cosine search of a bank of embeddings, block by block on the device."""

import jax
import jax.numpy as jnp

_BLOCK = 4096  # bank rows searched at once, at most


def unit(x: jax.Array) -> jax.Array:
    """Rows of length 1; a row of zeros stays."""
    norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return x / jnp.where(norm > 0, norm, 1)


def cosine_statistics(
    queries: jax.Array,
    bank: jax.Array,
    k: int,
    people: tuple[jax.Array, jax.Array] | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Exact search of a bank, block by block, in memory that does not grow with it.

    Args:
      queries: (B, D) of unit length.
      bank: (n, D) of unit length.
      k: how many of the largest cosines; all of them where n is smaller.
      people: of the queries (B,) and of the bank (n,), int; a query is not compared to images of
        its own person. None compares everything.

    Returns:
      the largest cosines in descending order (B, min(k, n)), -inf where fewer images are of other
      people; mean (B,), standard deviation (B,).
    """
    n, k = len(bank), min(k, len(bank))
    blocks = -(-n // _BLOCK)
    size = -(-n // blocks)

    def search(i, carry):
        largest, count, mean, spread = carry
        begin = jnp.minimum(i * size, n - size)  # the last block overlaps the one before it
        mask = begin + jnp.arange(size) >= i * size
        if people is not None:
            own = jax.lax.dynamic_slice_in_dim(people[1], begin, size)
            mask &= people[0][:, None] != own
        cosines = queries @ jax.lax.dynamic_slice_in_dim(bank, begin, size).T
        candidates = jnp.concatenate([largest, jnp.where(mask, cosines, -jnp.inf)], axis=-1)
        m = mask.sum(-1)
        total = jnp.maximum(count + m, 1)
        block_mean = jnp.where(mask, cosines, 0).sum(-1) / jnp.maximum(m, 1)
        block_spread = jnp.where(mask, (cosines - block_mean[:, None]) ** 2, 0).sum(-1)
        delta = block_mean - mean  # Chan's update: a sum of squares would cancel
        spread = spread + block_spread + delta**2 * (count * m / total)
        mean = mean + delta * (m / total)
        return jax.lax.top_k(candidates, k)[0], count + m, mean, spread

    zeros = jnp.zeros(len(queries))
    start = (jnp.full((len(queries), k), -jnp.inf), zeros, zeros, zeros)
    largest, count, mean, spread = jax.lax.fori_loop(0, blocks, search, start)
    # Without the barrier XLA's CPU backend sorts all cosines where a caller slices these twice.
    largest = jax.lax.optimization_barrier(largest)
    return largest, mean, jnp.sqrt(spread / jnp.maximum(count, 1))
