"""Operators that change a tensor's shape or read it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mint_jax.onnx2jax.operators.batch import broadcast_batch, follow_batch
from mint_jax.onnx2jax.registry import Call, operator

Ints = Sequence[int] | None


def ints(value: Any) -> list[int]:
    """A concrete tensor or an attribute as Python whole numbers."""
    return [int(v) for v in np.ravel(value)]


def _resolved(call: Call, shape: Sequence[int], new: list[int], zeros: int) -> list[int]:
    """ONNX's 0 (copy) and -1 (what remains) replaced."""
    if not zeros:
        new = [shape[i] if n == 0 else n for i, n in enumerate(new)]
    known = math.prod(n for n in new if n != -1)
    remaining = math.prod(shape) // known if known else 0
    new = [remaining if n == -1 else n for n in new]
    if math.prod(new) != math.prod(shape):
        raise call.error(f"a tensor of shape {tuple(shape)} does not fit {new}")
    return new


@operator("Reshape", static=(1,))
def reshape(call: Call, x: Any, shape: Any, *, allowzero: int = 0) -> Any:
    """A shape baked into a file of fixed batch follows the real batch."""
    new = ints(shape)
    if call.declared and call.declared[0].shape != x.shape:
        before, shape_before = call.declared
        if ints(shape_before) == new:
            target = _resolved(call, before.shape, new, allowzero)
            return x.reshape(follow_batch(call, before.shape, x.shape, target))
    return x.reshape(_resolved(call, x.shape, new, allowzero))


@operator("Flatten")
def flatten(call: Call, x: Any, *, axis: int = 1) -> Any:
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Transpose")
def transpose(call: Call, x: Any, *, perm: Ints = None) -> Any:
    return call.xp.transpose(x, perm)


@operator("Concat")
def concat(call: Call, *values: Any, axis: int) -> Any:
    if call.declared and axis % values[0].ndim:
        values = broadcast_batch(call, values)
    return call.xp.concatenate(values, axis)


@operator("Split", static=(1,))
def split(
    call: Call,
    x: Any,
    sizes: Any = None,
    *,
    axis: int = 0,
    split: Ints = None,
    num_outputs: int | None = None,
) -> tuple[Any, ...]:
    """Sizes are an attribute before opset 13, an input since."""
    sizes = split if sizes is None else ints(sizes)
    if sizes is None:
        count = num_outputs or call.outputs
        chunk = math.ceil(x.shape[axis] / count)
        sizes = [chunk] * (count - 1) + [x.shape[axis] - chunk * (count - 1)]
    if sum(sizes) != x.shape[axis]:
        raise call.error(f"split {list(sizes)} of an axis of {x.shape[axis]}")
    return tuple(call.xp.split(x, np.cumsum(sizes)[:-1], axis))


@operator("Squeeze", static=(1,))
def squeeze(call: Call, x: Any, axes_input: Any = None, *, axes: Ints = None) -> Any:
    """Axes are an attribute before opset 13, an input since."""
    chosen = axes if axes_input is None else ints(axes_input)
    return call.xp.squeeze(x, None if chosen is None else tuple(chosen))


@operator("Unsqueeze", static=(1,))
def unsqueeze(call: Call, x: Any, axes_input: Any = None, *, axes: Ints = None) -> Any:
    """Axes are an attribute before opset 13, an input since."""
    chosen = axes if axes_input is None else ints(axes_input)
    return call.xp.expand_dims(x, tuple(chosen))


@operator("Expand", static=(1,))
def expand(call: Call, x: Any, shape: Any) -> Any:
    return call.xp.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(ints(shape))))


@operator("Tile", static=(1,))
def tile(call: Call, x: Any, repeats: Any) -> Any:
    return call.xp.tile(x, ints(repeats))


@operator("Pad", static=(1, 3))
def pad(
    call: Call,
    x: Any,
    pads_input: Any = None,
    fill: Any = None,
    axes: Any = None,
    *,
    mode: str = "constant",
    pads: Ints = None,
    value: float = 0.0,
) -> Any:
    """Pads are an attribute before opset 11, an input since; negative ones crop."""
    flat = ints(pads if pads_input is None else pads_input)
    chosen = range(x.ndim) if axes is None else [a % x.ndim for a in ints(axes)]
    widths, cropped = [(0, 0)] * x.ndim, [slice(None)] * x.ndim
    for axis, begin, end in zip(chosen, flat[: len(flat) // 2], flat[len(flat) // 2 :]):
        widths[axis] = (max(begin, 0), max(end, 0))
        cropped[axis] = slice(max(-begin, 0), x.shape[axis] - max(-end, 0))
    x = x[tuple(cropped)]
    if mode != "constant":
        return call.xp.pad(x, widths, mode=mode)
    fill = value if fill is None else fill.reshape(())
    return call.xp.pad(x, widths, constant_values=fill)


@operator("Shape")
def shape(call: Call, x: Any, *, start: int = 0, end: int | None = None) -> Any:
    return np.asarray(x.shape[start:end], np.int64)


@operator("Size")
def size(call: Call, x: Any) -> Any:
    return np.asarray(math.prod(x.shape), np.int64)


@operator("Identity")
def identity(call: Call, x: Any) -> Any:
    return x


@operator("Dropout", static=(2,))
def dropout(
    call: Call,
    x: Any,
    ratio_input: Any = None,
    training_mode: Any = None,
    *,
    ratio: float = 0.5,
    seed: int = 0,
) -> tuple[Any, Any]:
    """Inference: nothing is dropped."""
    if training_mode is not None and training_mode:
        raise call.error("training mode is not supported")
    return x, call.xp.ones(x.shape, bool)


@operator("DepthToSpace")
def depth_to_space(call: Call, x: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    b, c, h, w = x.shape
    s, depth = blocksize, c // blocksize**2
    if mode == "DCR":
        x = x.reshape(b, s, s, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        x = x.reshape(b, depth, s, s, h, w).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(b, depth, h * s, w * s)


@operator("SpaceToDepth")
def space_to_depth(call: Call, x: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    b, c, h, w = x.shape
    s = blocksize
    x = x.reshape(b, c, h // s, s, w // s, s)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return x.transpose(order).reshape(b, c * s * s, h // s, w // s)


@operator("CenterCropPad", static=(1,))
def center_crop_pad(call: Call, x: Any, shape: Any, *, axes: Ints = None) -> Any:
    """The middle of a longer axis; zeros around a shorter one."""
    for axis, want in zip(range(x.ndim) if axes is None else axes, ints(shape)):
        axis = axis % x.ndim
        have = x.shape[axis]
        if want <= have:
            begin = (have - want) // 2
            x = x[(slice(None),) * axis + (slice(begin, begin + want),)]
        else:
            widths = [(0, 0)] * x.ndim
            begin = (want - have) // 2
            widths[axis] = (begin, want - have - begin)
            x = call.xp.pad(x, widths)
    return x
