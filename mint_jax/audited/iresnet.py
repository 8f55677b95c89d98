"""IResNet, the residual network of InsightFace's face recognition models, in Flax Linen.

Source: Duta et al., "Improved Residual Networks", arXiv 2004.04989, as built by InsightFace
(`recognition/arcface_torch/backbones/iresnet.py`); NHWC here.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mint_jax import patches, winograd
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
# On a CPU, convolutions of maps of up to `_SMALL` pixels a side are matrix products; in inference
# those of `_MANY` channels and more are with results of up to `_SMALL_RESULT`.
_SMALL, _SMALL_RESULT = 4, 7
# On a CPU, inference at stride 1 by Winograd: tiles of 4 on maps from `_WIDE` pixels on, of 2 where
# maps are smaller and more would hang over the edge, and along one axis alone for one image. Rows
# winograd_* and product_* of `make benchmark` hold each of these against XLA's convolution.
_LEAST, _WIDE, _MANY = 14, 28, 64  # sides of maps for either tile; channels
_PREPARED = "prepared"  # the collection of transformed kernels
# Images pass through the first stage so many pixels at a time where there are such kernels, so on a
# CPU: the maps of more leave the cache.
_PIXELS = 112**2


class PReLU(nn.Module):
    """max(x, 0) + slope * min(x, 0) with a slope a channel (Linen's own has one)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        slope = self.param("slope", nn.initializers.constant(0.25), (x.shape[-1],), jnp.float32)
        return jnp.where(x >= 0, x, x * slope.astype(x.dtype))


class Convolution(nn.Module):
    """A convolution without bias that is fast on a CPU, too, and so are its gradients in training.

    Attributes:
      filters: of the result.
      size: side of the kernel; results at the border see zeros beyond it.
      stride: along both axes.
      dtype: of the computation; the kernel is float32.
      train: whether gradients are wanted.
    """

    filters: int
    size: int
    stride: int = 1
    dtype: Any = jnp.float32
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, C) to (B, H / stride, W / stride, filters)."""
        shape = (self.size, self.size, x.shape[-1], self.filters)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape, jnp.float32)
        x = x.astype(self.dtype)
        if jax.default_backend() == "cpu" and self.size > 1:
            if self._by_product(x):
                return patches.convolve(x, kernel.astype(self.dtype), self.stride)
            if self._by_winograd(x):
                return winograd.convolve(x, self._transformed(kernel, x))
        ends = [(self.size // 2,) * 2] * 2  # SAME pads unevenly at stride 2
        return jax.lax.conv_general_dilated(
            x,
            kernel.astype(self.dtype),
            (self.stride,) * 2,
            ends,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    def _by_product(self, x: jax.Array) -> bool:
        small = x.shape[1] <= _SMALL_RESULT * self.stride and self._is_wide_inference(x)
        return small or x.shape[1] <= _SMALL

    def _by_winograd(self, x: jax.Array) -> bool:
        return self.stride == 1 and x.shape[1] >= _LEAST and self._is_wide_inference(x)

    def _is_wide_inference(self, x: jax.Array) -> bool:
        return x.shape[-1] >= _MANY and x.dtype == jnp.float32 and not self.train

    def _transformed(self, kernel: jax.Array, x: jax.Array) -> jax.Array:
        """The kernel as Winograd's convolution takes it, which `preparation` may have kept."""
        side = 4 if x.shape[1] >= _WIDE else 2
        axes = 1 if side == 2 and len(x) == 1 else 2
        transform = functools.partial(winograd.transformed, kernel, side, axes)
        keeps = self.is_mutable_collection(_PREPARED) and not self.is_initializing()
        if not (keeps or self.has_variable(_PREPARED, "kernel")):
            return transform()
        return self.variable(_PREPARED, "kernel", transform).value


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

        conv = functools.partial(Convolution, dtype=self.dtype, train=train)
        widths = _widths(self.width)

        def stage(x: jax.Array, number: int) -> jax.Array:
            filters = widths[number - 1]
            for block in range(self.blocks[number - 1]):
                stride, name = (2 if block == 0 else 1), f"stage{number}_block{block}"
                y = conv(filters, 3, name=f"{name}_conv1")(norm(f"{name}_bn1")(x))
                y = PReLU(name=f"{name}_prelu")(norm(f"{name}_bn2")(y))
                y = norm(f"{name}_bn3")(conv(filters, 3, stride, name=f"{name}_conv2")(y))
                if block == 0:
                    x = conv(filters, 1, stride, name=f"{name}_shortcut_conv")(x)
                    x = norm(f"{name}_shortcut_bn")(x)
                x = x + y
            return x

        def first(module: nn.Module, carry: None, x: jax.Array) -> tuple[None, jax.Array]:
            x = conv(widths[0], 3, name="stem_conv")(x)
            return carry, stage(PReLU(name="stem_prelu")(norm("stem_bn")(x)), 1)

        few = len(x)
        if _PREPARED in self.variables:
            few = math.gcd(few, max(1, _PIXELS // math.prod(x.shape[1:3])))
        if few < len(x):
            grouped = x.reshape(-1, few, *x.shape[1:])
            groups = nn.scan(first, variable_broadcast=True, split_rngs={})(self, None, grouped)[1]
            x = groups.reshape(-1, *groups.shape[2:])
        else:
            x = first(self, None, x)[1]
        taps = {"conv1": x}
        for number in (2, 3, 4):
            x = taps[f"conv{number}"] = stage(x, number)
        x = norm("final_bn")(x)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(self.embedding_size, dtype=self.dtype, name="embedding")(x)
        x = norm("embedding_bn")(x)
        return x.astype(jnp.float32), taps


def preparation(network: IResNet, size: int) -> Callable[[Any, int], Any]:
    """What transforms, for inference, all kernels that Winograd's convolutions take.

    Args:
      network: the IResNet.
      size: side of the network's input.

    Returns:
      A function of the variables {"params", "batch_stats"} and of how many images are given at
      once. With what it adds to the variables they give the same, faster, and images pass through
      the first stage in groups, by a scan. One program serves all variables of a network.
    """

    @jax.jit
    def transformed(variables: Any, x: jax.Array) -> Any:
        return network.apply(variables, x, mutable=[_PREPARED])[1]

    def prepared(variables: Any, batch: int) -> Any:
        if jax.default_backend() != "cpu" or max(_widths(network.width)) < _MANY:
            return variables
        return {**variables, **transformed(variables, jnp.zeros((min(batch, 2), size, size, 3)))}

    return prepared


def _widths(width: float) -> list[int]:
    return [max(1, round(filters * width)) for filters in _FILTERS]


def iresnet(name: str, **kwargs: Any) -> IResNet:
    """The IResNet of a depth by name; keyword arguments are attributes of `IResNet`.

    Raises:
      InputError: the name is not one of `BLOCKS`.
    """
    if name not in BLOCKS:
        raise InputError(f"unknown network {name!r}; known: {', '.join(BLOCKS)}")
    return IResNet(blocks=BLOCKS[name], **kwargs)
