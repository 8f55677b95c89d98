"""Operators that pick, place or generate elements by index."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from mint_jax.onnx2jax.operators.shape import ints
from mint_jax.onnx2jax.operators.types import numpy_type
from mint_jax.onnx2jax.registry import Call, operator

Ints = Sequence[int] | None


@operator("Constant")
def constant(
    call: Call,
    *,
    value: Any = None,
    value_float: float | None = None,
    value_floats: Sequence[float] | None = None,
    value_int: int | None = None,
    value_ints: Ints = None,
) -> Any:
    if value is not None:
        return value
    if value_float is not None or value_floats is not None:
        return np.asarray(value_floats if value_float is None else value_float, np.float32)
    return np.asarray(value_ints if value_int is None else value_int, np.int64)


@operator("ConstantOfShape", static=(0,))
def constant_of_shape(call: Call, shape: Any, *, value: Any = None) -> Any:
    """Floats are made on the device: they may be large, and no shape comes from them."""
    value = np.zeros(1, np.float32) if value is None else value
    make = np.full if np.issubdtype(value.dtype, np.integer) else jnp.full
    return make(tuple(ints(shape)), value[0], value.dtype)


@operator("Range", static=(0, 1, 2))
def arange(call: Call, start: Any, limit: Any, delta: Any, *, stash_type: int = 1) -> Any:
    """`start + i * delta`; 16-bit floats are computed in float32."""
    dtype = np.asarray(start).dtype
    wide = np.float32 if dtype.itemsize == 2 and dtype.kind != "i" else dtype
    start, limit, delta = (np.asarray(v).astype(wide).item() for v in (start, limit, delta))
    count = max(int(np.ceil((limit - start) / delta)), 0)
    return (start + np.arange(count) * delta).astype(dtype)


@operator("Slice", static=(1, 2, 3, 4))
def slice_(
    call: Call,
    x: Any,
    starts_input: Any = None,
    ends_input: Any = None,
    axes_input: Any = None,
    steps: Any = None,
    *,
    axes: Ints = None,
    ends: Ints = None,
    starts: Ints = None,
) -> Any:
    """Attributes before opset 10, inputs since."""
    begin = ints(starts if starts_input is None else starts_input)
    end = ints(ends if ends_input is None else ends_input)
    along = axes if axes_input is None else ints(axes_input)
    step = [1] * len(begin) if steps is None else ints(steps)
    picked = [slice(None)] * x.ndim
    for axis, b, e, s in zip(range(x.ndim) if along is None else along, begin, end, step):
        n = x.shape[axis]
        b, e = (v + n if v < 0 else v for v in (b, e))
        if s > 0:
            picked[axis] = slice(max(b, 0), max(e, 0), s)
        else:
            picked[axis] = slice(min(b, n - 1), e if e >= 0 else None, s)
    return x[tuple(picked)]


@operator("Gather")
def gather(call: Call, x: Any, indices: Any, *, axis: int = 0) -> Any:
    return call.xp.take(x, indices, axis)


@operator("GatherElements")
def gather_elements(call: Call, x: Any, indices: Any, *, axis: int = 0) -> Any:
    return call.xp.take_along_axis(x, indices, axis)


@operator("GatherND")
def gather_nd(call: Call, x: Any, indices: Any, *, batch_dims: int = 0) -> Any:
    batch = np.indices(x.shape[:batch_dims], sparse=True)
    rest = indices.ndim - 1 - batch_dims
    own = [b.reshape(*b.shape, *[1] * rest) for b in batch]
    picked = [indices[..., i] for i in range(indices.shape[-1])]
    return x[(*own, *picked)]


def _scatter(call: Call, x: Any, index: tuple, updates: Any, reduction: str) -> Any:
    methods = {"none": "set", "add": "add", "mul": "multiply", "max": "max", "min": "min"}
    if reduction not in methods:
        raise call.error(f"reduction {reduction!r} is not handled")
    return getattr(jnp.asarray(x).at[index], methods[reduction])(updates)


@operator("Scatter", "ScatterElements")
def scatter_elements(
    call: Call,
    x: Any,
    indices: Any,
    updates: Any,
    *,
    axis: int = 0,
    reduction: str = "none",
) -> Any:
    index = list(np.indices(indices.shape, sparse=True))
    index[axis] = indices
    return _scatter(call, x, tuple(index), updates, reduction)


@operator("ScatterND")
def scatter_nd(call: Call, x: Any, indices: Any, updates: Any, *, reduction: str = "none") -> Any:
    index = tuple(indices[..., i] for i in range(indices.shape[-1]))
    return _scatter(call, x, index, updates, reduction)


@operator("Trilu", static=(1,))
def trilu(call: Call, x: Any, k: Any = None, *, upper: int = 1) -> Any:
    offset = 0 if k is None else int(np.ravel(k)[0])
    return (call.xp.triu if upper else call.xp.tril)(x, offset)


@operator("OneHot", static=(1,))
def one_hot(call: Call, indices: Any, depth: Any, values: Any, *, axis: int = -1) -> Any:
    """Indices outside [-depth, depth) give a row of `off`."""
    count = int(np.ravel(depth)[0])
    places = call.xp.expand_dims(indices, axis)
    shape = [1] * places.ndim
    shape[axis] = count
    hot = call.xp.arange(count, dtype=places.dtype).reshape(shape)
    hit = (places == hot) | (places + count == hot)
    return call.xp.where(hit, values[1], values[0])


@operator("NonZero", static=(0,))
def non_zero(call: Call, x: Any) -> Any:
    return np.stack(np.nonzero(x)).astype(np.int64)


@operator("EyeLike")
def eye_like(call: Call, x: Any, *, dtype: int | None = None, k: int = 0) -> Any:
    wanted = x.dtype if dtype is None else numpy_type(call, dtype)
    return call.xp.eye(*x.shape, k=k, dtype=wanted)


@operator("Compress", static=(1,))
def compress(call: Call, x: Any, condition: Any, *, axis: int | None = None) -> Any:
    return call.xp.take(x, np.flatnonzero(condition), axis)


@operator("ReverseSequence")
def reverse_sequence(
    call: Call, x: Any, lengths: Any, *, batch_axis: int = 1, time_axis: int = 0
) -> Any:
    """Turns the first `lengths[b]` steps of each sequence round."""
    rows = call.xp.moveaxis(x, (batch_axis, time_axis), (0, 1))
    steps, ends = np.arange(rows.shape[1]), lengths[:, None]
    order = call.xp.where(steps < ends, ends - 1 - steps, steps)
    order = order.reshape(*order.shape, *[1] * (rows.ndim - 2))
    turned = call.xp.take_along_axis(rows, order, 1)
    return call.xp.moveaxis(turned, (0, 1), (batch_axis, time_axis))
