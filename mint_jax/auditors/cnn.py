"""The CNN auditor: two convolutions and two fully connected layers on an activation map.

Source: DeAlcala et al., arXiv 2402.09225, section IV, gives the 64 and 128 filters. Kernel,
stride, pooling and the hidden width are not published: they are configuration, and ours a
reconstruction.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mint_jax.auditors.standardise import Standardise


class PatchConv(nn.Module):
    """A convolution as one matrix product over patches; NHWC, padding `kernel // 2`.

    XLA's CPU backend runs the gradients of a convolution 12 to 40 times slower inside a
    loop, or with `vmap` over kernels, than the matrix product; outside of loops the two are
    alike.
    """

    features: int
    kernel: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, C) to (B, ceil(H / stride), ceil(W / stride), features)."""
        k, s, pad = self.kernel, self.stride, self.kernel // 2
        b, h, w, c = x.shape
        rows, columns = (h + 2 * pad - k) // s + 1, (w + 2 * pad - k) // s + 1
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        patches = [
            x[:, i : i + (rows - 1) * s + 1 : s, j : j + (columns - 1) * s + 1 : s]
            for i in range(k)
            for j in range(k)
        ]
        patches = jnp.concatenate(patches, axis=-1).reshape(b * rows * columns, k * k * c)
        x = nn.Dense(self.features)(patches)
        return x.reshape(b, rows, columns, self.features)


class CNN(nn.Module):
    """conv(64) ReLU, conv(128) ReLU, Dense(hidden) ReLU, dropout, Dense(1).

    Attributes:
      layer: the layer of the audited model that it reads.
      filters: filters of the two convolutions.
      kernel: side of both kernels; odd.
      stride: stride of both convolutions.
      pool: side of the maximum pooling after each convolution; 1 for none. A map that is
        smaller than the window is not pooled.
      hidden: width of the first fully connected layer.
      dropout: rate before the last layer.
    """

    layer: str
    filters: tuple[int, int] = (64, 128)
    kernel: int = 3
    stride: int = 2
    pool: int = 1
    hidden: int = 64
    dropout: float = 0.3

    kind: ClassVar[str] = "cnn"
    reduce: ClassVar[str] = "map"
    together: ClassVar[bool] = False  # on a CPU the matrix products fill the cores one by one

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """Logits (B,) float32 of maps (B, H, W, C), and a penalty of zeros (B,)."""
        x = Standardise(name="input")(x)
        for features in self.filters:
            x = _pool(nn.relu(PatchConv(features, self.kernel, self.stride)(x)), self.pool)
        x = x.reshape(len(x), -1)
        x = nn.relu(nn.Dense(self.hidden)(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(1)(x)[:, 0], jnp.zeros(len(x))


def _pool(x: jax.Array, side: int) -> jax.Array:
    """Maximum over disjoint windows; what does not fill a window is dropped."""
    b, h, w, c = x.shape
    if side == 1 or min(h, w) < side:
        return x
    h, w = h // side, w // side
    x = x[:, : h * side, : w * side].reshape(b, h, side, w, side, c)
    return x.max(axis=(2, 4))
