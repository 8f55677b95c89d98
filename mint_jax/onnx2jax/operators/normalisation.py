"""Normalisation layers, in inference mode."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mint_jax.onnx2jax.registry import Call, operator


def _channels(v: Any, x: Any) -> Any:
    """A vector of channels beside (B, C, ...)."""
    return v.reshape(-1, *[1] * (x.ndim - 2))


@operator("BatchNormalization")
def batch_normalization(
    call: Call,
    x: Any,
    scale: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
    training_mode: int = 0,
) -> Any:
    """With the stored statistics; `momentum` matters in training only."""
    if training_mode or not spatial:
        raise call.error("training mode and spatial=0 are not supported")
    factor = scale / jnp.sqrt(variance + epsilon)
    y = (x - _channels(mean, x)) * _channels(factor, x) + _channels(bias, x)
    return y.astype(x.dtype)


def _standardised(x: Any, axes: tuple[int, ...], epsilon: float) -> tuple[Any, Any, Any]:
    """(standardised x, mean, 1 / deviation), of population statistics."""
    mean = jnp.mean(x, axes, keepdims=True)
    centred = x - mean
    inverse = jax.lax.rsqrt(jnp.mean(centred * centred, axes, keepdims=True) + epsilon)
    return centred * inverse, mean, inverse


@operator("InstanceNormalization")
def instance_normalization(
    call: Call, x: Any, scale: Any, bias: Any, *, epsilon: float = 1e-5
) -> Any:
    y, _, _ = _standardised(x, tuple(range(2, x.ndim)), epsilon)
    return y * _channels(scale, x) + _channels(bias, x)


@operator("LayerNormalization")
def layer_normalization(
    call: Call,
    x: Any,
    scale: Any,
    bias: Any = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> tuple[Any, Any, Any]:
    """Over the axes from `axis` on, in float32 also where x is narrower."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    axes = tuple(range(axis % x.ndim, x.ndim))
    y, mean, inverse = _standardised(x.astype(wide), axes, epsilon)
    y = y.astype(x.dtype) * scale
    return y if bias is None else y + bias, mean, inverse


@operator("RMSNormalization")
def rms_normalization(
    call: Call,
    x: Any,
    scale: Any,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Any:
    """As LayerNormalization, without the mean."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    axes = tuple(range(axis % x.ndim, x.ndim))
    square = jnp.mean(wide * wide, axes, keepdims=True)
    return (wide * jax.lax.rsqrt(square + epsilon)).astype(x.dtype) * scale


@operator("GroupNormalization")
def group_normalization(
    call: Call,
    x: Any,
    scale: Any,
    bias: Any,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Any:
    """Scale and bias belong to groups before opset 21, to channels since."""
    batch, channels, *space = x.shape
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    groups = wide.reshape(batch, num_groups, -1)
    y = _standardised(groups, (2,), epsilon)[0].reshape(x.shape).astype(x.dtype)
    if call.opset < 21:
        scale, bias = (jnp.repeat(v, channels // num_groups) for v in (scale, bias))
    return y * _channels(scale, x) + _channels(bias, x)


@operator("LRN")
def lrn(
    call: Call,
    x: Any,
    *,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    bias: float = 1.0,
) -> Any:
    """Local response normalisation over `size` neighbouring channels."""
    rest = x.ndim - 2
    square_sum = jax.lax.reduce_window(
        x * x,
        jnp.zeros((), x.dtype)[()],
        jax.lax.add,
        window_dimensions=(1, size, *[1] * rest),
        window_strides=(1,) * x.ndim,
        padding=((0, 0), ((size - 1) // 2, math.ceil((size - 1) / 2)), *[(0, 0)] * rest),
    )
    return x / (bias + alpha / size * square_sum) ** beta


@operator("LpNormalization")
def lp_normalization(call: Call, x: Any, *, axis: int = -1, p: int = 2) -> Any:
    """A vector of norm 0 stays 0."""
    norm = jnp.linalg.norm(x, p, axis, keepdims=True)
    return jnp.where(norm == 0, 0, x / jnp.where(norm == 0, 1, norm))


@operator("MeanVarianceNormalization")
def mean_variance_normalization(call: Call, x: Any, *, axes: Sequence[int] = (0, 2, 3)) -> Any:
    """(x - mean) / (deviation + 1e-9)."""
    centred = x - jnp.mean(x, tuple(axes), keepdims=True)
    deviation = jnp.sqrt(jnp.mean(centred * centred, tuple(axes), keepdims=True))
    return centred / (deviation + 1e-9)
