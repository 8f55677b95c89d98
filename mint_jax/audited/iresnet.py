"""IResNet, the residual network of InsightFace's face recognition models, in Flax Linen.

Source: Duta et al., "Improved Residual Networks", arXiv 2004.04989, as built by InsightFace
(`recognition/arcface_torch/backbones/iresnet.py`); NHWC here.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mint_jax import patches
from mint_jax.errors import InputError

BLOCKS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
    "iresnet200": (6, 26, 60, 6),
}
STAGES = ("conv1", "conv2", "conv3", "conv4")
_FILTERS = (64, 128, 256, 512)
_SMALL = 4  # side of maps, in pixels, whose convolutions are matrix products on a CPU


class PReLU(nn.Module):
    """max(x, 0) + slope * min(x, 0) with a slope a channel (Linen's own has one)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        slope = self.param("slope", nn.initializers.constant(0.25), (x.shape[-1],), jnp.float32)
        return jnp.where(x >= 0, x, x * slope.astype(x.dtype))


class IResNet(nn.Module):
    """Four stages of pre-activated residual blocks, then a fully connected embedding.

    Attributes:
      blocks: residual blocks a stage.
      width: multiplies the filters 64, 128, 256, 512 of the stages.
      embedding_size: D.
      dtype: of the computation, float32 or bfloat16; parameters and statistics are float32.
      epsilon: of every BatchNorm.
      axis_name: mapped axis over which BatchNorms share the batch's statistics in training.
    """

    blocks: Sequence[int]
    width: float = 1.0
    embedding_size: int = 512
    dtype: Any = jnp.float32
    epsilon: float = 1e-5
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, dict]:
        """Embeds normalised images.

        Args:
          x: (B, H, W, 3), normalised as the network's preprocessing says; H = W = 112 for
            the published networks, any size here.
          train: whether BatchNorms use the batch's statistics and update their running
            ones.

        Returns:
          embedding (B, D) float32, not normalised to length 1, and the ends of the four
          stages, {"conv1": (B, H/2, W/2, 64 * width), ..., "conv4": (B, H/16, W/16, 512 *
          width)}.
        """

        def norm(name: str) -> nn.BatchNorm:
            return nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                epsilon=self.epsilon,
                dtype=self.dtype,
                axis_name=self.axis_name,
                name=name,
            )

        def conv(filters: int, size: int, stride: int, name: str) -> nn.Conv:
            return nn.Conv(
                filters,
                (size, size),
                (stride, stride),
                padding=size // 2,  # SAME pads unevenly at stride 2
                use_bias=False,
                dtype=self.dtype,
                conv_general_dilated=_convolve,
                kernel_init=nn.initializers.he_normal(),
                name=name,
            )

        widths = [max(1, round(filters * self.width)) for filters in _FILTERS]
        x = conv(widths[0], 3, 1, "stem_conv")(x.astype(self.dtype))
        x = PReLU(name="stem_prelu")(norm("stem_bn")(x))
        taps = {}
        for stage, (count, filters) in enumerate(zip(self.blocks, widths, strict=True), 1):
            for block in range(count):
                stride, name = (2 if block == 0 else 1), f"stage{stage}_block{block}"
                y = conv(filters, 3, 1, f"{name}_conv1")(norm(f"{name}_bn1")(x))
                y = PReLU(name=f"{name}_prelu")(norm(f"{name}_bn2")(y))
                y = norm(f"{name}_bn3")(conv(filters, 3, stride, f"{name}_conv2")(y))
                if block == 0:
                    x = conv(filters, 1, stride, f"{name}_shortcut_conv")(x)
                    x = norm(f"{name}_shortcut_bn")(x)
                x = x + y
            taps[f"conv{stage}"] = x
        x = norm("final_bn")(x)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(self.embedding_size, dtype=self.dtype, name="embedding")(x)
        x = norm("embedding_bn")(x)
        return x.astype(jnp.float32), taps


def _convolve(x: jax.Array, kernel: jax.Array, strides: Sequence[int], *rest, **kw) -> jax.Array:
    """A convolution that is fast on a CPU, too, and so are its gradients."""
    if jax.default_backend() == "cpu" and x.shape[1] <= _SMALL and len(kernel) > 1:
        return patches.convolve(x, kernel, strides[0])
    return jax.lax.conv_general_dilated(x, kernel, strides, *rest, **kw)


def iresnet(name: str, **kwargs: Any) -> IResNet:
    """The IResNet of a depth by name; keyword arguments are attributes of `IResNet`.

    Raises:
      InputError: the name is not one of `BLOCKS`.
    """
    if name not in BLOCKS:
        raise InputError(f"unknown network {name!r}; known: {', '.join(BLOCKS)}")
    return IResNet(blocks=BLOCKS[name], **kwargs)
