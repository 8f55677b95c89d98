"""Pooling over sliding windows and over everything, channels second."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax.onnx2jax.operators.types import is_integer
from mint_jax.onnx2jax.operators.windows import Pads, ceil_pads, window_pads
from mint_jax.onnx2jax.registry import Call, operator

Ints = Sequence[int] | None


class _Windows:
    """Sums and maxima of an array's windows."""

    def __init__(
        self,
        call: Call,
        x: Any,
        kernel: Sequence[int],
        strides: Ints,
        dilations: Ints,
        auto_pad: str,
        pads: Ints,
        ceil_mode: int,
    ) -> None:
        rank, size = x.ndim - 2, x.shape[2:]
        if len(kernel) != rank:
            raise call.error(f"kernel_shape {list(kernel)} on an input of shape {x.shape}")
        self.kernel, self.strides = kernel, strides or [1] * rank
        self.dilations = dilations or [1] * rank
        shape = (size, kernel, self.strides, self.dilations)
        self.given: Pads = window_pads(call, auto_pad, pads, *shape)
        self.pads: Pads = ceil_pads(*shape, self.given) if ceil_mode else self.given

    def reduce(self, x: Any, start: Any, function: Any, pads: Pads | None = None) -> Any:
        return jax.lax.reduce_window(
            jnp.asarray(x),
            np.asarray(start, x.dtype)[()],
            function,
            window_dimensions=(1, 1, *self.kernel),
            window_strides=(1, 1, *self.strides),
            padding=((0, 0), (0, 0), *(self.pads if pads is None else pads)),
            window_dilation=(1, 1, *self.dilations),
        )

    def counts(self, x: Any, count_include_pad: int) -> Any:
        """How many elements each window holds; what `ceil_mode` adds never counts."""
        ones, pads = jnp.ones((1, 1, *x.shape[2:]), x.dtype), self.pads
        if count_include_pad:
            ones = jnp.pad(ones, ((0, 0), (0, 0), *self.given), constant_values=1)
            pads = [(0, after - given) for (_, after), (_, given) in zip(pads, self.given)]
        return self.reduce(ones, 0, jax.lax.add, pads)


@operator("MaxPool")
def max_pool(
    call: Call,
    x: Any,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints = None,
    pads: Ints = None,
    storage_order: int = 0,
    strides: Ints = None,
) -> Any:
    """The values only; `storage_order` speaks of the indices, an output not supported."""
    windows = _Windows(call, x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    lowest = np.iinfo(x.dtype).min if is_integer(x) else -np.inf
    return windows.reduce(x, lowest, jax.lax.max)


@operator("AveragePool")
def average_pool(
    call: Call,
    x: Any,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    windows = _Windows(call, x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    return windows.reduce(x, 0, jax.lax.add) / windows.counts(x, count_include_pad)


@operator("LpPool")
def lp_pool(
    call: Call,
    x: Any,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints = None,
    p: int = 2,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    windows = _Windows(call, x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    return windows.reduce(jnp.abs(x) ** p, 0, jax.lax.add) ** (1 / p)


@operator("GlobalAveragePool")
def global_average_pool(call: Call, x: Any) -> Any:
    return jnp.mean(x, tuple(range(2, x.ndim)), keepdims=True)


@operator("GlobalMaxPool")
def global_max_pool(call: Call, x: Any) -> Any:
    return jnp.max(x, tuple(range(2, x.ndim)), keepdims=True)
