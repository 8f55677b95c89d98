"""Linear quantisation to 8- and 16-bit whole numbers, and products of quantised tensors."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax.onnx2jax.operators.convolution import convolve
from mint_jax.onnx2jax.operators.types import is_integer, numpy_type
from mint_jax.onnx2jax.registry import Call, operator

Ints = Sequence[int] | None


def _along(v: Any, x: Any, axis: int, block_size: int) -> Any:
    """A scale or zero point in a shape that broadcasts against x."""
    if v.ndim == 0 or v.size == 1:
        return v.reshape(())
    if block_size:
        return jnp.repeat(v, block_size, axis)[tuple(slice(0, n) for n in x.shape)]
    shape = [1] * x.ndim
    shape[axis] = v.size
    return v.reshape(shape)


def _rounded(call: Call, x: Any, zero_point: Any, dtype: np.dtype) -> Any:
    """round(x) + zero point, saturated; x is already divided by the scale."""
    if not np.issubdtype(dtype, np.integer) or np.iinfo(dtype).bits > 16:
        raise call.error(f"quantisation to {dtype} is not supported")
    limits = np.iinfo(dtype)
    shifted = jnp.rint(x.astype(jnp.float32)) + jnp.asarray(zero_point, jnp.float32)
    return jnp.clip(shifted, limits.min, limits.max).astype(dtype)


@operator("QuantizeLinear")
def quantize_linear(
    call: Call,
    x: Any,
    scale: Any,
    zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Any:
    """`saturate` speaks of 8-bit floats only, which are not supported."""
    if zero_point is not None:
        dtype, zero = zero_point.dtype, _along(zero_point, x, axis, block_size)
    else:
        dtype = numpy_type(call, output_dtype) if output_dtype else np.dtype(np.uint8)
        zero = 0
    if precision:
        x = x.astype(numpy_type(call, precision))
    scale = _along(scale, x, axis, block_size)
    return _rounded(call, x.astype(jnp.float32) / scale, zero, dtype)


@operator("DequantizeLinear")
def dequantize_linear(
    call: Call,
    x: Any,
    scale: Any,
    zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Any:
    if not is_integer(x):
        raise call.error(f"dequantisation of {x.dtype} is not supported")
    dtype = numpy_type(call, output_dtype) if output_dtype else scale.dtype
    y = _centred(x, zero_point, axis, block_size).astype(jnp.float32)
    return (y * _along(scale, x, axis, block_size)).astype(dtype)


def _centred(x: Any, zero_point: Any, axis: int = 0, block_size: int = 0) -> Any:
    """x - zero point in int32."""
    x = jnp.asarray(x, jnp.int32)
    if zero_point is None:
        return x
    return x - _along(jnp.asarray(zero_point, jnp.int32), x, axis, block_size)


@operator("DynamicQuantizeLinear")
def dynamic_quantize_linear(call: Call, x: Any) -> tuple[Any, Any, Any]:
    """(uint8, scale, zero point) over the range of x with 0."""
    low, high = jnp.minimum(jnp.min(x), 0), jnp.maximum(jnp.max(x), 0)
    scale = (high - low) / 255
    zero = jnp.clip(jnp.rint(-low / scale), 0, 255)
    y = jnp.clip(jnp.rint(x / scale) + zero, 0, 255)
    return y.astype(jnp.uint8), scale, zero.astype(jnp.uint8)


@operator("ConvInteger")
def conv_integer(
    call: Call,
    x: Any,
    w: Any,
    x_zero: Any = None,
    w_zero: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    """int32; padding is the zero point, 0 once that is subtracted."""
    x, w = _centred(x, x_zero), _centred(w, w_zero)
    return convolve(call, x, w, auto_pad, dilations, group, kernel_shape, pads, strides)


@operator("QLinearConv")
def q_linear_conv(
    call: Call,
    x: Any,
    x_scale: Any,
    x_zero: Any,
    w: Any,
    w_scale: Any,
    w_zero: Any,
    y_scale: Any,
    y_zero: Any,
    b: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    """The weights' scale and zero point may be one an output channel.

    Computed in float32, whose rounding is far below the result's, since accelerators have
    no convolution of 32-bit whole numbers.
    """
    x, w = (v.astype(jnp.float32) for v in (_centred(x, x_zero), _centred(w, w_zero)))
    args = (auto_pad, dilations, group, kernel_shape, pads, strides)
    y = convolve(call, x, w, *args, precision=jax.lax.Precision.HIGHEST)
    if b is not None:
        y = y + _along(jnp.asarray(b), y, 1, 0)
    factor = x_scale.reshape(()) * _along(w_scale, y, 1, 0) / y_scale.reshape(())
    return _rounded(call, y * factor, y_zero.reshape(()), y_zero.dtype)


def _matmul(a: Any, b: Any, a_zero: Any, b_zero: Any) -> Any:
    """int32 product; a's zero point may be one a row, b's one a column."""
    a, b = _centred(a, a_zero, -2), _centred(b, b_zero, -1)
    return jnp.matmul(a, b, preferred_element_type=jnp.int32)


@operator("MatMulInteger")
def mat_mul_integer(call: Call, a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
    return _matmul(a, b, a_zero, b_zero)


@operator("QLinearMatMul")
def q_linear_mat_mul(
    call: Call,
    a: Any,
    a_scale: Any,
    a_zero: Any,
    b: Any,
    b_scale: Any,
    b_zero: Any,
    y_scale: Any,
    y_zero: Any,
) -> Any:
    y = _matmul(a, b, a_zero, b_zero).astype(jnp.float32)
    scaled = y * _along(a_scale, y, -2, 0) * _along(b_scale, y, -1, 0)
    return _rounded(call, scaled / y_scale.reshape(()), y_zero.reshape(()), y_zero.dtype)
