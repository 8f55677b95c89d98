"""Resize and Upsample: separable resampling with weights that are known before the run.

An axis is resized by a gather (nearest) or a product with an (out, in) NumPy matrix.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax.onnx2jax.operators.shape import ints
from mint_jax.onnx2jax.operators.types import is_integer
from mint_jax.onnx2jax.registry import Call, operator

NEAREST: dict[str, Callable[[Any], Any]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@dataclasses.dataclass(frozen=True)
class _Axis:
    """One axis to resize: sizes, scale = out / in, and the region of interest (0 to 1)."""

    axis: int
    size: int
    new_size: int
    scale: float
    start: float = 0.0
    end: float = 1.0


def _half_pixel_symmetric(o: Any, a: _Axis) -> Any:
    adjustment = a.new_size / (a.scale * a.size)
    return a.size / 2 * (1 - adjustment) + (o + 0.5) / a.scale - 0.5


def _align_corners(o: Any, a: _Axis) -> Any:
    length = a.scale * a.size
    return o * (a.size - 1) / (length - 1) if length != 1 else 0 * o


def _crop_and_resize(o: Any, a: _Axis) -> Any:
    if a.new_size == 1:
        return 0 * o + (a.start + a.end) * (a.size - 1) / 2
    step = (a.end - a.start) * (a.size - 1) / (a.new_size - 1)
    return a.start * (a.size - 1) + o * step


# name -> (index in the output, axis) -> coordinate in the input
COORDINATES: dict[str, Callable[[Any, _Axis], Any]] = {
    "asymmetric": lambda o, a: o / a.scale,
    "half_pixel": lambda o, a: (o + 0.5) / a.scale - 0.5,
    "pytorch_half_pixel": lambda o, a: (o + 0.5) / a.scale - 0.5 if a.new_size > 1 else 0 * o,
    "tf_half_pixel_for_nn": lambda o, a: (o + 0.5) / a.scale,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "align_corners": _align_corners,
    "tf_crop_and_resize": _crop_and_resize,
}


def _triangle(t: Any) -> Any:
    return np.clip(1 - np.abs(t), 0, 1)


def _keys(t: Any, a: float) -> Any:
    """Keys' cubic convolution kernel, support 2."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((t - 5) * t + 8) * t * a - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def _matrix(
    positions: Any,
    size: int,
    kernel: Callable[[Any], Any],
    radius: int,
    stretch: float,
    exclude_outside: bool,
) -> np.ndarray:
    """(out, in) weights; a tap outside the input is its nearest edge, or left out."""
    reach = int(np.ceil(radius / stretch))
    taps = np.floor(positions)[:, None] + np.arange(-reach, reach + 2)
    weights = kernel((taps - positions[:, None]) * stretch)
    if exclude_outside:
        weights = weights * ((taps >= 0) & (taps < size))
    weights = weights / weights.sum(1, keepdims=True)
    matrix = np.zeros((len(positions), size))
    rows = np.broadcast_to(np.arange(len(positions))[:, None], taps.shape)
    np.add.at(matrix, (rows, np.clip(taps, 0, size - 1).astype(int)), weights)
    return matrix


def _contract(x: Any, matrix: np.ndarray, axis: int) -> Any:
    highest = jax.lax.Precision.HIGHEST
    y = jnp.tensordot(x, matrix.astype(x.dtype), (axis, 1), precision=highest)
    return jnp.moveaxis(y, -1, axis)


def resample(
    call: Call,
    x: Any,
    axes: Sequence[_Axis],
    mode: str,
    coordinates: str,
    nearest_mode: str = "floor",
    cubic_a: float = -0.75,
    antialias: bool = False,
    exclude_outside: bool = False,
    fill: float = 0.0,
) -> Any:
    """Resizes `axes` of x one after the other; the other axes stay."""
    if coordinates not in COORDINATES or mode not in ("nearest", "linear", "cubic"):
        raise call.error(f"mode {mode!r} with {coordinates!r} is not handled")
    dtype, inside = x.dtype, True
    y = x.astype(jnp.float32) if is_integer(x) and mode != "nearest" else x
    for a in axes:
        positions = COORDINATES[coordinates](np.arange(a.new_size, dtype=float), a)
        if mode == "nearest":
            index = NEAREST[nearest_mode](positions).astype(int)
            y = jnp.take(y, np.clip(index, 0, a.size - 1), a.axis)
        else:
            kernel = _triangle if mode == "linear" else lambda t: _keys(t, cubic_a)
            radius, stretch = 1 + (mode == "cubic"), min(a.scale, 1) if antialias else 1
            matrix = _matrix(positions, a.size, kernel, radius, stretch, exclude_outside)
            y = _contract(y, matrix, a.axis)
        if coordinates == "tf_crop_and_resize":
            mask = (positions >= 0) & (positions <= a.size - 1)
            inside = inside & mask.reshape(-1, *[1] * (x.ndim - 1 - a.axis))
    return (y if inside is True else jnp.where(inside, y, fill)).astype(dtype)


def _floor_size(size: int, scale: Any) -> int:
    return int(np.floor(np.float32(size) * np.float32(scale)))


def _by_scales(x: Any, along: Sequence[int], scales: Any, roi: Any) -> list[_Axis]:
    axes = []
    for i, axis in enumerate(along):
        start, end = (roi[i], roi[i + len(along)]) if roi is not None else (0.0, 1.0)
        n, scale = x.shape[axis], float(scales[i])
        new = _floor_size(n, scale * (end - start))
        axes.append(_Axis(axis, n, new, scale, float(start), float(end)))
    return axes


def _by_sizes(
    x: Any, along: Sequence[int], sizes: Sequence[int], roi: Any, policy: str
) -> list[_Axis]:
    if policy != "stretch":
        choose = min if policy == "not_larger" else max
        scale = choose(new / x.shape[axis] for axis, new in zip(along, sizes))
        sizes = [int(np.floor(scale * x.shape[axis] + 0.5)) for axis in along]
    axes = []
    for i, (axis, new) in enumerate(zip(along, sizes)):
        start, end = (roi[i], roi[i + len(along)]) if roi is not None else (0.0, 1.0)
        n = x.shape[axis]
        axes.append(_Axis(axis, n, new, new / n, float(start), float(end)))
    return axes


def _changed(axes: list[_Axis]) -> list[_Axis]:
    return [a for a in axes if (a.size, a.scale, a.start, a.end) != (a.new_size, 1, 0, 1)]


@operator("Upsample", static=(1,))
def upsample(
    call: Call,
    x: Any,
    scales_input: Any = None,
    *,
    mode: str = "nearest",
    scales: Sequence[float] | None = None,
) -> Any:
    """Scales are an attribute before opset 9, an input since."""
    chosen = scales if scales_input is None else scales_input
    axes = _changed(_by_scales(x, range(x.ndim), chosen, None))
    return resample(call, x, axes, mode, "asymmetric")


@operator("Resize", static=(1, 2, 3))
def resize(
    call: Call,
    x: Any,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Any:
    """Opset 10 takes (x, scales) and samples at `o / scale`, rounded down."""
    if call.opset < 11:
        return upsample(call, x, roi, mode=mode)
    along = range(x.ndim) if axes is None else [a % x.ndim for a in axes]
    crops = coordinate_transformation_mode == "tf_crop_and_resize"
    region = roi if crops else None
    if sizes is None or sizes.size == 0:
        chosen = _by_scales(x, along, scales, region)
    else:
        wanted = _at_real_batch(call, x, along, ints(sizes))
        chosen = _by_sizes(x, along, wanted, region, keep_aspect_ratio_policy)
    return resample(
        call,
        x,
        _changed(chosen),
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(antialias),
        bool(exclude_outside),
        extrapolation_value,
    )


def _at_real_batch(call: Call, x: Any, along: Sequence[int], sizes: list[int]) -> list[int]:
    """Sizes that name the file's fixed batch name the real one instead."""
    if not call.declared:
        return sizes
    before = call.declared[0].shape
    return [x.shape[a] if before[a] == n else n for a, n in zip(along, sizes)]
