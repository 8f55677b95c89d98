"""Padding of sliding windows, shared by convolution and pooling."""

import math
from collections.abc import Sequence

from mint_jax.onnx2jax.registry import Call

Pads = list[tuple[int, int]]


def window_pads(
    call: Call,
    auto_pad: str,
    pads: Sequence[int] | None,
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Pads:
    """(before, after) of each spatial axis, from `auto_pad` or `pads`.

    Args:
        call: Names the node in errors.
        auto_pad: ONNX's word.
        pads: All begins, then all ends; None for none.
        size: Spatial size of the input.
        kernel: Spatial size of the window, undilated.
        strides: One an axis.
        dilations: One an axis.

    Returns:
        The padding.

    Raises:
        InputError: An unknown `auto_pad`.
    """
    rank = len(size)
    if auto_pad == "NOTSET":
        flat = list(pads) if pads else [0] * (2 * rank)
        return list(zip(flat[:rank], flat[rank:]))
    if auto_pad == "VALID":
        return [(0, 0)] * rank
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        raise call.error(f"auto_pad {auto_pad!r} is not handled")
    result = []
    for n, k, s, d in zip(size, kernel, strides, dilations):
        total = max((math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0)
        less, more = total // 2, total - total // 2
        result.append((less, more) if auto_pad == "SAME_UPPER" else (more, less))
    return result


def ceil_pads(
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Pads,
) -> Pads:
    """Pads grown at the end so that the last, partial window is kept (`ceil_mode`).

    A window that would begin in the padding after the input is dropped.
    """
    result = []
    for n, k, s, d, (before, after) in zip(size, kernel, strides, dilations, pads):
        extent = (k - 1) * d + 1
        steps = math.ceil((n + before + after - extent) / s)
        if steps * s >= n + before:
            steps -= 1
        result.append((before, max(steps * s + extent - n - before, 0)))
    return result
