"""Parts of auditors and networks beside the products that they cannot do without."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.races import Peer, Race, check_same, seconds
from mint_jax import parallel, patches, winograd
from mint_jax.auditors import cosines

_CHUNK = 2000  # queries that are searched for at one time
_NEAREST = 8


def search(bank: int = 50_000, queries: int = 4_000, width: int = 512) -> Race:
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

    first = asked[:_CHUNK]
    check_same(ours(first)[0][:, 0], least(first), "search")
    words = f"exact search of a bank of {bank:,} x {width}: {_NEAREST} largest cosines, statistics"
    peer = Peer("the matrix product and its maxima", seconds(all_of(least)))
    return Race(words, "s", queries, seconds(all_of(ours)), [peer], turns=3)


def small_maps(batch: int = 128, side: int = 2, channels: int = 128) -> Race:
    """A 3x3 convolution with its gradients on the last maps of the embedded network.

    As one matrix product over patches, and as XLA's convolution.
    """
    draws = np.random.default_rng(0)
    x = jnp.asarray(draws.standard_normal((batch, side, side, channels), np.float32))
    kernel = jnp.asarray(draws.standard_normal((3, 3, channels, channels), np.float32))

    def trained(convolve: Callable) -> Callable[[], Any]:
        loss = jax.jit(jax.grad(lambda x, k: (convolve(x, k) ** 2).mean(), (0, 1)))
        return lambda: jax.block_until_ready(loss(x, kernel))

    runs = trained(lambda x, k: patches.convolve(x, k, 1)), trained(_by_xla)
    for gradients in zip(*(run() for run in runs)):
        check_same(*gradients, "small_maps")
    words = f"3x3 convolution of {side}x{side}x{channels} with gradients, as a matrix product"
    ours, reference = map(seconds, runs)
    return Race(words, "s", batch, ours, [Peer("XLA's convolution", reference)])


def tiles(side: int, channels: int, tile: int, batch: int = 8) -> Race:
    """A 3x3 convolution of inference by Winograd, its kernel transformed before.

    Beside XLA's, and tiles of the other side; each device has `batch` images.
    """
    x, kernel = _drawn(batch, side, channels)
    other = 6 - tile
    ours, others = (
        _inference(winograd.convolve, x, winograd.transformed(kernel, n)) for n in (tile, other)
    )
    words = f"3x3 convolution of {side}x{side}x{channels} by Winograd in tiles of {tile}"
    further = [Peer(f"tiles of {other}", seconds(others), suffix="_other")]
    check_same(ours(), others(), words)
    return _beside_xla(words, ours, x, kernel, 1, further)


def alone(side: int, channels: int, tile: int) -> Race:
    """The same of a single image, which all cores share: tiles along one axis, beside both."""
    (x, *_), kernel = _drawn(1, side, channels)

    def run(convolve: Callable, kernel: jax.Array) -> Callable[[], jax.Array]:
        program = jax.jit(convolve)
        return lambda: jax.block_until_ready(program(x, kernel))

    ours, both = (
        run(winograd.convolve, winograd.transformed(kernel, tile, axes)) for axes in (1, 2)
    )
    words = f"3x3 convolution of one image, {side}x{side}x{channels}, tiles of {tile} along an axis"
    xla = run(_by_xla, kernel)
    for other in (both, xla):
        check_same(ours(), other(), words)
    peers = [Peer("tiles along both", seconds(both)), Peer("XLA's", seconds(xla), suffix="_xla")]
    return Race(words, "s", 1, seconds(ours), peers, turns=21)


def product(side: int, channels: int, stride: int = 1, batch: int = 8) -> Race:
    """A 3x3 convolution of inference as one matrix product; each device has `batch` images."""
    x, kernel = _drawn(batch, side, channels)
    ours = _inference(functools.partial(patches.convolve, stride=stride), x, kernel)
    words = f"3x3 convolution of {side}x{side}x{channels}, stride {stride}, as a matrix product"
    return _beside_xla(words, ours, x, kernel, stride)


def _drawn(batch: int, side: int, channels: int) -> tuple[jax.Array, jax.Array]:
    """Maps of `batch` images for each device, and a kernel."""
    draws, devices = np.random.default_rng(0), parallel.device_count()
    x = draws.standard_normal((devices, batch, side, side, channels), np.float32)
    kernel = draws.standard_normal((3, 3, channels, channels), np.float32)
    return jnp.asarray(x), jnp.asarray(kernel)


def _inference(convolve: Callable, x: jax.Array, kernel: jax.Array) -> Callable[[], jax.Array]:
    program, kernels = parallel.pmap(convolve), parallel.replicate(kernel)
    return lambda: jax.block_until_ready(program(x, kernels))


def _beside_xla(
    words: str,
    ours: Callable[[], jax.Array],
    x: jax.Array,
    kernel: jax.Array,
    stride: int,
    further: Sequence[Peer] = (),
) -> Race:
    xla = _inference(functools.partial(_by_xla, stride=stride), x, kernel)
    check_same(ours(), xla(), words)
    peers = [Peer("XLA's convolution", seconds(xla)), *further]
    return Race(words, "s", x.shape[0] * x.shape[1], seconds(ours), peers, turns=21)


def _by_xla(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    ends, numbers = [(1, 1)] * 2, ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride,) * 2, ends, dimension_numbers=numbers)
