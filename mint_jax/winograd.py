"""3x3 convolutions by Winograd's minimal filtering, which multiplies less often; NHWC, padding 1.

Tiles of `side` x `side` results take (side + 2)^2 products a pair of channels, not 9 * side^2: 2.25
times fewer for 2, 4 times fewer for 4. The products are one batched matrix product; what comes
before and after is sums. Tiles along the width alone take 1.5 and 2 times fewer; with more rows and
fewer kernels they are faster for a single image, which has too few rows for two cores otherwise.
Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308. On
the points of tiles of 4 float32 rounds four times less than on the usual 0, 1, -1, 2, -2; why
points matter: Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution
for Deep Neural Networks", arXiv 1803.10986.
"""

import functools
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

_POINTS = {2: (0, 1, -1), 4: (0, 3 / 4, -3 / 4, 3 / 2, -3 / 2)}
_TILES = 196  # computed at one time: more leave a core's cache between the steps


def transformed(kernel: jax.Array, side: int, axes: int = 2) -> jax.Array:
    """A kernel (3, 3, C, features) for tiles of `side`, 2 or 4, along both axes or the width alone.

    Returns:
      (side + 2, side + 2, C, features); (side + 2, 3, C, features) for one of the `axes`.
    """
    weights = matrices(_POINTS[side])[1]
    if axes == 1:
        return _combined(weights, kernel.swapaxes(0, 1))
    return jnp.stack([_combined(weights, row) for row in _combined(weights, kernel)])


def convolve(x: jax.Array, kernels: jax.Array) -> jax.Array:
    """A convolution of (B, H, W, C) with a kernel that is `transformed`, stride 1.

    Args:
      x: floating; maps of any size.
      kernels: of the same type.

    Returns:
      (B, H, W, features).
    """
    if kernels.shape[1] == 3:
        return _convolve_rows(x, kernels)
    side, points = len(kernels) - 2, len(kernels) ** 2
    ahead, _, back = matrices(_POINTS[side])
    batch, height, width, channels = x.shape
    rows, columns = -(-height // side), -(-width // side)
    below, right = side * rows + 1 - height, side * columns + 1 - width
    padded = jnp.pad(x, ((0, 0), (1, below), (1, right), (0, 0)))
    # A block is a few images, or a band of one: as many rows of tiles as divide it.
    few = math.gcd(batch, max(1, _TILES // (rows * columns)))
    high = max(n for n in range(1, rows + 1) if n == 1 or not rows % n and n * columns <= _TILES)
    bands, shape = rows // high, (few, side * high + 2, *padded.shape[2:])

    def convolved(block: jax.Array) -> jax.Array:
        start = block // bands * few, block % bands * side * high, 0, 0
        x = jax.lax.dynamic_slice(padded, start, shape)
        taps = (_taps(row, side, columns, 2) for row in _combined(ahead, _taps(x, side, high, 1)))
        tiles = jnp.stack([_combined(ahead, row) for row in taps]).reshape(points, -1, channels)
        products = tiles @ kernels.reshape(points, channels, -1)
        parts = products.reshape(*kernels.shape[:2], -1, kernels.shape[-1])
        y = _combined(back, [_combined(back, row) for row in parts])
        y = y.reshape(side, side, few, high, columns, -1)
        return y.transpose(2, 3, 0, 4, 1, 5)

    blocks = jnp.arange(batch // few * bands)
    y = jax.lax.map(convolved, blocks) if len(blocks) > 1 else convolved(blocks[0])
    return y.reshape(batch, side * rows, side * columns, -1)[:, :height, :width]


def _convolve_rows(x: jax.Array, kernels: jax.Array) -> jax.Array:
    """`convolve` by tiles along the width; a product goes over three rows of them at once."""
    side, points = len(kernels) - 2, len(kernels)
    ahead, _, back = matrices(_POINTS[side])
    batch, height, width, channels = x.shape
    columns = -(-width // side)
    x = jnp.pad(x, ((0, 0), (1, 1), (1, side * columns + 1 - width), (0, 0)))
    tiles = _combined(ahead, _taps(x, side, columns, 2))
    three = jnp.concatenate([tiles[:, :, i : i + height] for i in range(3)], axis=-1)
    three = three.reshape(points, -1, 3 * channels)
    y = _combined(back, three @ kernels.reshape(points, 3 * channels, -1))
    y = y.reshape(side, batch, height, columns, -1).transpose(1, 2, 3, 0, 4)
    return y.reshape(batch, height, side * columns, -1)[:, :, :width]


def _taps(x: jax.Array, side: int, tiles: int, axis: int) -> list[jax.Array]:
    """The first, the second, ... value of each tile along an axis."""
    reach = side * (tiles - 1) + 1
    return [jax.lax.slice_in_dim(x, i, i + reach, side, axis) for i in range(side + 2)]


def _combined(matrix: np.ndarray, parts: Sequence[jax.Array] | jax.Array) -> jax.Array:
    """`matrix @ parts` over the first axis of `parts`, as sums without the zeros."""
    rows = [[(value, part) for value, part in zip(row, parts) if value] for row in matrix.tolist()]
    sums = [functools.reduce(operator.add, [v * part for v, part in row]) for row in rows]
    # Without the barrier XLA's CPU backend computes these again for each sum over them.
    return jax.lax.optimization_barrier(jnp.stack(sums))


@functools.cache
def matrices(points: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the filter with three weights g, by the method of Toom and Cook; n = len(points) + 1.

    Args:
      points: all different, at which polynomials are evaluated; infinity is another.

    Returns:
      ahead (n, n), weights (n, 3) and back (n - 2, n), float64, with
      back @ ((ahead @ x) * (weights @ g)) the n - 2 correlations of x (n,) and g (3,).
    """
    points = np.asarray(points, float)
    others = [np.delete(points, i) for i in range(len(points))]
    ahead = [[*np.poly(roots)[::-1], 0] for roots in others] + [np.poly(points)[::-1]]
    scale = [np.prod(point - roots) for point, roots in zip(points, others)]
    weights = np.vander(points, 3, increasing=True) / np.array(scale)[:, None]
    back = np.vander(points, len(points) - 1, increasing=True).T
    last = np.eye(len(points) - 1)[:, -1:]
    return np.array(ahead), np.vstack([weights, [0, 0, 1]]), np.hstack([back, last])
