"""Following the real batch through a file that fixes another one.

Exporters bake the batch of the example input (nearly always 1) into Reshape targets and
class tokens. What every tensor is at the declared batch is known, so the axis that carries
the batch is where the declared and the real shape differ.
"""

import math
from collections.abc import Sequence
from typing import Any

from mint_jax.onnx2jax.registry import Call


def follow_batch(
    call: Call, before: Sequence[int], now: Sequence[int], target: Sequence[int]
) -> list[int]:
    """The target of a Reshape at the real batch.

    Args:
        call: Names the node in errors.
        before: Shape of the input at the declared batch.
        now: Its shape at the real batch.
        target: Shape of the result at the declared batch.

    Returns:
        `target` with one axis grown: the one that begins at the same place in memory.

    Raises:
        InputError: No single axis of the result carries the batch.
    """
    changed = [k for k, (a, b) in enumerate(zip(before, now)) if a != b]
    if len(changed) == 1 and now[changed[0]] % before[changed[0]] == 0:
        axis = changed[0]
        ratio = now[axis] // before[axis]
        starts = [math.prod(target[:j]) for j in range(len(target))]
        here = [j for j, s in enumerate(starts) if s == math.prod(before[:axis])]
        if axis:
            here = [j for j in here if target[j] == before[axis]]
        if here:
            return [n * ratio if j == here[0] else n for j, n in enumerate(target)]
    raise call.error(
        f"the file fixes the batch, and {list(before)} -> {list(target)} does not tell how "
        f"to reshape {list(now)}"
    )


def broadcast_batch(call: Call, values: Sequence[Any]) -> list[Any]:
    """Repeats what has the declared batch of 1 (a class token) up to the real one."""
    batch = max(v.shape[0] for v in values)
    declared = {before.shape[0] for before in call.declared or ()}
    if declared != {1} or batch == 1:
        return list(values)
    return [
        call.xp.broadcast_to(v, (batch, *v.shape[1:])) if v.shape[0] == 1 else v for v in values
    ]
