"""Statistics of an image that no network computed: the pixels-only control.

An auditor on these features never sees the audited model. What it reads, a membership test
must beat before it may say that the model leaks: members and non-members from different
databases can be told apart by camera, cropping and compression (arXiv 2406.16201).
"""

import jax
import jax.numpy as jnp
import numpy as np

_CHUNK = 64
_GRID = 8  # side of the coarse picture
_BLOCK = 8  # side of a JPEG block
_LUMA = (0.299, 0.587, 0.114)


def pixel_features(images: np.ndarray) -> np.ndarray:
    """Coarse pixels, colour, block DCT spectrum, sharpness and block edges of images.

    Args:
      images: uint8 (B, H, W, 3) RGB, both sides multiples of 8.

    Returns:
      (B, F) float32: 8 x 8 x 3 area means; mean, standard deviation and extremes per
      colour; log mean square of each of the 64 coefficients of the 8 x 8 block DCT of luma;
      log mean square of the Laplacian of luma; log ratio of the steps at block borders to
      the steps elsewhere, down and across. A row's bits depend on its image alone.
    """
    rows = []
    for i in range(0, len(images), _CHUNK):
        chunk = np.zeros((_CHUNK, *images.shape[1:]), np.uint8)
        count = len(images[i : i + _CHUNK])
        chunk[:count] = images[i : i + count]
        rows.append(np.asarray(_features(chunk))[:count])
    return np.concatenate(rows)


@jax.jit
def _features(images: jax.Array) -> jax.Array:
    x = images.astype(jnp.float32) / 255
    luma = jnp.sum(x * jnp.asarray(_LUMA), axis=-1)
    coarse = _blocks(x, x.shape[1] // _GRID, x.shape[2] // _GRID).mean((3, 4))
    colour = [x.mean((1, 2)), x.std((1, 2)), x.min((1, 2)), x.max((1, 2))]
    parts = [coarse.reshape(len(x), -1), *colour, _spectrum(luma), _sharpness(luma)]
    return jnp.concatenate(parts, axis=-1)


def _blocks(x: jax.Array, height: int, width: int) -> jax.Array:
    """(B, H, W, C) to (B, H / height, W / width, height, width, C)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // height, height, w // width, width, c)
    return x.transpose(0, 1, 3, 2, 4, 5)


def _spectrum(luma: jax.Array) -> jax.Array:
    blocks = _blocks(luma[..., None], _BLOCK, _BLOCK)[..., 0]
    dct = jnp.asarray(dct_matrix(_BLOCK))
    coefficients = jnp.einsum("ui,...ij,vj->...uv", dct, blocks, dct)
    return _log(jnp.mean(coefficients**2, axis=(1, 2))).reshape(len(luma), -1)


def _sharpness(luma: jax.Array) -> jax.Array:
    inner = luma[:, 1:-1, 1:-1]
    around = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
    laplacian = _log(jnp.mean((around - 4 * inner) ** 2, axis=(1, 2)))
    return jnp.stack([laplacian, _edges(luma), _edges(luma.transpose(0, 2, 1))], axis=-1)


def _edges(luma: jax.Array) -> jax.Array:
    steps = jnp.mean((luma[:, 1:] - luma[:, :-1]) ** 2, axis=2)
    border = np.arange(1, luma.shape[1]) % _BLOCK == 0
    return _log(steps[:, border].mean(1)) - _log(steps[:, ~border].mean(1))


def dct_matrix(n: int) -> np.ndarray:
    """The orthonormal DCT-II, (n, n) float32: row u is the basis of frequency u."""
    u, i = np.mgrid[:n, :n]
    matrix = np.cos(np.pi * (2 * i + 1) * u / (2 * n)) * np.sqrt(2 / n)
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)


def _log(x: jax.Array) -> jax.Array:
    return jnp.log(x + 1e-8)
