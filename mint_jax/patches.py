"""Convolutions as one matrix product over patches; NHWC, padding `side // 2`.

XLA's CPU backend runs gradients of convolutions 12 to 40 times slower inside a loop, or with `vmap`
over kernels, and those on maps of 2x2 pixels about 10 times slower, than the matrix product; the
last is `small_maps` of `experiments.benchmark`. Of inference it gains a tenth to a third where
results are of 7x7 pixels (`product_*`).
"""

import jax
import jax.numpy as jnp


def patches(x: jax.Array, side: int, stride: int) -> jax.Array:
    """(B, H, W, C) to (B, ceil(H / stride), ceil(W / stride), side * side * C); `side` is odd."""
    pad = side // 2
    rows, columns = ((length + 2 * pad - side) // stride + 1 for length in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    shifted = [
        x[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
        for i in range(side)
        for j in range(side)
    ]
    return jnp.concatenate(shifted, axis=-1)


def convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """A convolution of (B, H, W, C) with a kernel (side, side, C, features)."""
    side, *_, features = kernel.shape
    return patches(x, side, stride) @ kernel.reshape(-1, features)
