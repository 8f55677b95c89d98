"""What `experiments.benchmark` times: each of ours beside a reference, in turns.

Machines are noisy and differ, so a figure is a ratio of two things that one process did by turns,
and a median over turns.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from mint_jax import patches
from mint_jax.auditors import cosines

_CHUNK = 2000  # queries that are searched for at one time
_NEAREST = 8


class Pair(NamedTuple):
    """Two ways to do the same.

    Attributes:
      ours, reference: run once; what they return is ready.
      words: what is compared, with its size.
    """

    ours: Callable[[], Any]
    reference: Callable[[], Any]
    words: str


def search(bank: int = 50_000, queries: int = 10_000, width: int = 512) -> Pair:
    """Exact search with its statistics, beside the matrix product that it cannot do without."""
    draws = np.random.default_rng(0)
    known, asked = (
        cosines.unit(jnp.asarray(draws.standard_normal((n, width), np.float32)))
        for n in (bank, queries)
    )
    ours = jax.jit(lambda q: cosines.cosine_statistics(q, known, _NEAREST))
    least = jax.jit(lambda q: (q @ known.T).max(-1))

    def all_of(program: Callable) -> Callable[[], Any]:
        cuts = range(0, queries, _CHUNK)
        return lambda: [jax.block_until_ready(program(asked[i : i + _CHUNK])) for i in cuts]

    words = (
        f"exact search of {bank:,} x {width} for {queries:,} queries; the product and its maxima"
    )
    return Pair(all_of(ours), all_of(least), words)


def small_maps(batch: int = 128, side: int = 2, channels: int = 128) -> Pair:
    """A 3x3 convolution with its gradients on the last maps of the embedded network.

    As one matrix product over patches, and as XLA's convolution.
    """
    draws = np.random.default_rng(0)
    x = jnp.asarray(draws.standard_normal((batch, side, side, channels), np.float32))
    kernel = jnp.asarray(draws.standard_normal((3, 3, channels, channels), np.float32))

    def xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)

    def trained(convolve: Callable) -> Callable[[], Any]:
        loss = jax.jit(jax.grad(lambda x, k: (convolve(x, k) ** 2).mean(), (0, 1)))
        return lambda: jax.block_until_ready(loss(x, kernel))

    words = f"3x3 convolution of {side}x{side}x{channels} with gradients, batch {batch}; XLA's own"
    return Pair(trained(lambda x, k: patches.convolve(x, k, 1)), trained(xla), words)


PAIRS: Mapping[str, Callable[..., Pair]] = {"search": search, "small_maps": small_maps}


def measure(pair: Pair, turns: int) -> dict:
    """Runs both once to compile them, and then by turns.

    Returns:
      {"words", "ours", "reference": median seconds of a run, "ratio": median of ours / reference
      of a turn, "ratio_range": [least, most], "turns"}.
    """
    seconds = np.empty((turns, 2))
    for run in pair[:2]:
        run()
    for turn in tqdm(range(turns), pair.words.partition(" ")[0], leave=False):
        for i, run in enumerate(pair[:2]):
            begin = time.perf_counter()
            run()
            seconds[turn, i] = time.perf_counter() - begin
    ratios = seconds[:, 0] / seconds[:, 1]
    ours, reference = np.median(seconds, axis=0).tolist()
    return {
        "words": pair.words,
        "ours": ours,
        "reference": reference,
        "ratio": float(np.median(ratios)),
        "ratio_range": [float(ratios.min()), float(ratios.max())],
        "turns": turns,
    }
