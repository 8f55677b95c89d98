"""The CNN auditor: two convolutions and two fully connected layers on activation maps.

Source: DeAlcala et al., arXiv 2402.09225, section IV, gives the 64 and 128 filters. Kernel,
stride, pooling and the hidden width are not published: they are configuration, and ours a
reconstruction. So is how several layers are joined ("Combination" in the same paper).
"""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mint_jax.auditors.standardise import Standardise
from mint_jax.patches import patches


class PatchConv(nn.Module):
    """A convolution as one matrix product over patches, see `mint_jax.patches`."""

    features: int
    kernel: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, C) to (B, ceil(H / stride), ceil(W / stride), features)."""
        return nn.Dense(self.features)(patches(x, self.kernel, self.stride))


class CNN(nn.Module):
    """conv(64) ReLU, conv(128) ReLU, Dense(hidden) ReLU, dropout, Dense(1).

    Of several layers each has convolutions of its own, and what they give is joined before the
    first fully connected layer. `PatchConv_0` and `PatchConv_1` are those of the first layer by
    name, `PatchConv_2` and `PatchConv_3` those of the second, and so on.

    Attributes:
      layer: the layer of the audited model that it reads; "all_conv" for several.
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
    def __call__(
        self, x: jax.Array | Mapping[str, jax.Array], train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Logits (B,) float32 of maps, and a penalty of zeros (B,).

        Args:
          x: (B, H, W, C), or {layer: (B, H, W, C)} of maps that may differ in size.
          train: whether dropout is on.
        """
        maps = jax.tree.leaves(Standardise(name="input")(x))
        x = jnp.concatenate([self._convolve(own) for own in maps], axis=-1)
        x = nn.relu(nn.Dense(self.hidden)(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(1)(x)[:, 0], jnp.zeros(len(x))

    def _convolve(self, x: jax.Array) -> jax.Array:
        """Both convolutions of one layer, flattened."""
        for features in self.filters:
            x = _pool(nn.relu(PatchConv(features, self.kernel, self.stride)(x)), self.pool)
        return x.reshape(len(x), -1)


def _pool(x: jax.Array, side: int) -> jax.Array:
    """Maximum over disjoint windows; what does not fill a window is dropped."""
    b, h, w, c = x.shape
    if side == 1 or min(h, w) < side:
        return x
    h, w = h // side, w // side
    x = x[:, : h * side, : w * side].reshape(b, h, side, w, side, c)
    return x.max(axis=(2, 4))
