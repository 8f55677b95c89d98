"""The one place that knows about devices: replication, sharding and `jax.pmap`.

Since JAX 0.8 `jax.pmap` is `jit(shard_map)` underneath. Nothing else in the project calls it, so
that one file changes with it.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "devices"


def device_count() -> int:
    """Number of devices of this process."""
    return jax.local_device_count()


def pmap(function: Callable, *, donate_argnums: tuple[int, ...] = ()) -> Callable:
    """Maps `function` over this process's devices; collectives use the axis name `AXIS`.

    Every argument and result has a leading axis of length `device_count()`.
    """
    return jax.pmap(function, axis_name=AXIS, donate_argnums=donate_argnums)


def _put(tree: Any) -> Any:
    mesh = Mesh(np.asarray(jax.local_devices()), (AXIS,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))


def replicate(tree: Any) -> Any:
    """Copies each array of `tree` to every device: (...) becomes (device_count(), ...)."""
    count = device_count()
    return _put(jax.tree.map(lambda x: np.broadcast_to(x, (count, *np.shape(x))), tree))


def unreplicate(tree: Any) -> Any:
    """The first device's copy of a replicated `tree`."""
    return jax.tree.map(lambda x: x[0], tree)


def shard(tree: Any) -> Any:
    """Splits the leading axis over the devices: (D * b, ...) becomes (D, b, ...), on the devices.

    Raises:
      ValueError: the leading axis is no multiple of `device_count()`.
    """
    count = device_count()

    def split(x: np.ndarray) -> np.ndarray:
        if x.shape[0] % count:
            raise ValueError(f"a batch of {x.shape[0]} does not divide over {count} devices")
        return x.reshape(count, x.shape[0] // count, *x.shape[1:])

    return _put(jax.tree.map(split, tree))


def unshard(tree: Any) -> Any:
    """The inverse of `shard`, as NumPy arrays: (D, b, ...) becomes (D * b, ...)."""

    def join(x: jax.Array) -> np.ndarray:
        x = np.asarray(x)
        return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])

    return jax.tree.map(join, tree)
