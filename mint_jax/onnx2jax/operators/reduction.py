"""Reductions along axes, positions of extremes, sorting and running sums."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax.onnx2jax.operators.types import is_integer
from mint_jax.onnx2jax.registry import Call, operator


def _lowest(dtype: np.dtype) -> Any:
    if dtype.kind == "b":
        return False
    return np.iinfo(dtype).min if np.issubdtype(dtype, np.integer) else -np.inf


def _highest(dtype: np.dtype) -> Any:
    if dtype.kind == "b":
        return True
    return np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else np.inf


def _log_sum_exp(xp: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    if not is_integer(x):
        return jax.nn.logsumexp(x, axis=axis, keepdims=keepdims)
    return xp.log(xp.sum(xp.exp(x), axis=axis, keepdims=keepdims)).astype(x.dtype)


# name -> (xp, x, axis, keepdims) -> array; the sum of no element is 0, their maximum -inf.
REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceL1": lambda xp, x, a, k: xp.sum(xp.abs(x), axis=a, keepdims=k),
    "ReduceL2": lambda xp, x, a, k: xp.sqrt(xp.sum(x * x, axis=a, keepdims=k)),
    "ReduceLogSum": lambda xp, x, a, k: xp.log(xp.sum(x, axis=a, keepdims=k)),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": lambda xp, x, a, k: xp.max(x, axis=a, keepdims=k, initial=_lowest(x.dtype)),
    "ReduceMean": lambda xp, x, a, k: xp.mean(x, axis=a, keepdims=k),
    "ReduceMin": lambda xp, x, a, k: xp.min(x, axis=a, keepdims=k, initial=_highest(x.dtype)),
    "ReduceProd": lambda xp, x, a, k: xp.prod(x, axis=a, keepdims=k),
    "ReduceSum": lambda xp, x, a, k: xp.sum(x, axis=a, keepdims=k),
    "ReduceSumSquare": lambda xp, x, a, k: xp.sum(x * x, axis=a, keepdims=k),
}


def _enter(name: str, function: Callable[..., Any]) -> None:
    @operator(name, static=(1,))
    def reduce(
        call: Call,
        x: Any,
        axes_input: Any = None,
        *,
        axes: Sequence[int] | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Any:
        """Axes are an attribute before opset 13 (sum) or 18 (the others), then an input."""
        given = axes if axes_input is None else np.ravel(axes_input)
        chosen = () if given is None else tuple(int(a) for a in given)
        if not chosen and not noop_with_empty_axes:
            chosen = tuple(range(x.ndim))
        return function(call.xp, x, chosen, bool(keepdims)).astype(x.dtype)


for _name, _function in REDUCTIONS.items():
    _enter(_name, _function)


def _extreme(
    call: Call, find: str, x: Any, axis: int, keepdims: int, select_last_index: int
) -> Any:
    where = getattr(call.xp, find)
    if select_last_index:
        flipped = where(call.xp.flip(x, axis), axis=axis)
        found = x.shape[axis] - 1 - flipped
    else:
        found = where(x, axis=axis)
    found = found.astype(call.dtype(np.int64))
    return call.xp.expand_dims(found, axis) if keepdims else found


@operator("ArgMax")
def arg_max(
    call: Call, x: Any, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
) -> Any:
    return _extreme(call, "argmax", x, axis, keepdims, select_last_index)


@operator("ArgMin")
def arg_min(
    call: Call, x: Any, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
) -> Any:
    return _extreme(call, "argmin", x, axis, keepdims, select_last_index)


@operator("TopK", static=(1,))
def top_k(
    call: Call,
    x: Any,
    count: Any = None,
    *,
    axis: int = -1,
    k: int | None = None,
    largest: int = 1,
    sorted: int = 1,
) -> tuple[Any, Any]:
    """Ties go to the lower index; the result is sorted also where it need not be."""
    count = k if count is None else int(np.ravel(count)[0])
    order = jnp.argsort(jnp.asarray(x), axis, stable=True, descending=bool(largest))
    order = jax.lax.slice_in_dim(order, 0, count, axis=axis)
    values = jnp.take_along_axis(jnp.asarray(x), order, axis)
    return values, order.astype(jax.dtypes.canonicalize_dtype(np.int64))


def _running(
    call: Call, name: str, start: int, x: Any, axis: Any, exclusive: int, reverse: int
) -> Any:
    xp, axis = call.xp, int(np.ravel(axis)[0])
    x = xp.flip(x, axis) if reverse else x
    y = getattr(xp, name)(x, axis=axis).astype(x.dtype)
    if exclusive:
        y = xp.moveaxis(y, axis, 0)
        y = xp.moveaxis(xp.concatenate([xp.full_like(y[:1], start), y[:-1]]), 0, axis)
    return xp.flip(y, axis) if reverse else y


@operator("CumSum", static=(1,))
def cum_sum(call: Call, x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Any:
    return _running(call, "cumsum", 0, x, axis, exclusive, reverse)


@operator("CumProd", static=(1,))
def cum_prod(call: Call, x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Any:
    return _running(call, "cumprod", 1, x, axis, exclusive, reverse)
