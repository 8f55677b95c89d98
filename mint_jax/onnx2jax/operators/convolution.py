"""Convolution and its transpose, over one to three spatial axes, channels second."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mint_jax.onnx2jax.operators.windows import Pads, window_pads
from mint_jax.onnx2jax.registry import Call, operator

Ints = Sequence[int] | None


@operator("Conv")
def conv(
    call: Call,
    x: Any,
    w: Any,
    b: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    y = convolve(call, x, w, auto_pad, dilations, group, kernel_shape, pads, strides)
    return y if b is None else y + b.reshape(-1, *[1] * (y.ndim - 2))


def convolve(
    call: Call,
    x: Any,
    w: Any,
    auto_pad: str,
    dilations: Ints,
    group: int,
    kernel_shape: Ints,
    pads: Ints,
    strides: Ints,
    precision: Any = None,
) -> Any:
    """Cross-correlation of x (B, C, spatial) with w (O, C / group, kernel)."""
    rank = x.ndim - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    kernel = w.shape[2:]
    if kernel_shape and tuple(kernel_shape) != tuple(kernel):
        raise call.error(f"kernel_shape {kernel_shape} but the weights are {w.shape}")
    if x.shape[1] != w.shape[1] * group:
        raise call.error(f"{x.shape[1]} channels do not fit weights {w.shape} of {group} groups")
    padding = window_pads(call, auto_pad, pads, x.shape[2:], kernel, strides, dilations)
    return jax.lax.conv_general_dilated(
        jnp.asarray(x),
        jnp.asarray(w),
        window_strides=tuple(strides),
        padding=padding,
        rhs_dilation=tuple(dilations),
        feature_group_count=group,
        precision=precision,
    )


@operator("ConvTranspose")
def conv_transpose(
    call: Call,
    x: Any,
    w: Any,
    b: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    output_padding: Ints = None,
    output_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    """The gradient of Conv: x is spread by the stride and meets the kernel turned round."""
    rank = x.ndim - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    extents = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations)]
    extra = output_padding or [0] * rank
    cuts = _cuts(call, x.shape[2:], extents, strides, extra, auto_pad, pads, output_shape)
    y = jax.lax.conv_general_dilated(
        x,
        _turned(w, group),
        window_strides=(1,) * rank,
        padding=[
            (e - 1 - begin, e - 1 - end + o) for e, o, (begin, end) in zip(extents, extra, cuts)
        ],
        lhs_dilation=tuple(strides),
        rhs_dilation=tuple(dilations),
        feature_group_count=group,
    )
    return y if b is None else y + b.reshape(-1, *[1] * rank)


def _turned(w: Any, group: int) -> Any:
    """(C, O / group, kernel) to (O, C / group, kernel), flipped along the kernel."""
    c, o, *kernel = w.shape
    w = w.reshape(group, c // group, o, *kernel).swapaxes(1, 2)
    w = w.reshape(group * o, c // group, *kernel)
    return jnp.flip(w, tuple(range(2, w.ndim)))


def _cuts(
    call: Call,
    size: Sequence[int],
    extents: Sequence[int],
    strides: Sequence[int],
    extra: Sequence[int],
    auto_pad: str,
    pads: Ints,
    output_shape: Ints,
) -> Pads:
    """What is cut off (begin, end) of each axis of the full result."""
    if not output_shape and not auto_pad.startswith("SAME"):
        return window_pads(call, auto_pad, pads, size, extents, strides, strides)
    targets = output_shape or [n * s for n, s in zip(size, strides)]
    cuts = []
    for n, e, s, o, target in zip(size, extents, strides, extra, targets[-len(size) :]):
        total = (n - 1) * s + o + e - target
        half = total // 2
        upper = auto_pad == "SAME_UPPER"
        cuts.append((half, total - half) if upper else (total - half, half))
    return cuts
