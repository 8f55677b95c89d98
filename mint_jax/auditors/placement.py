"""Where activations live while auditors train on them: the fastest place that has room.

The order rests on `experiments.placement --sizes=1000,4000`, on two idle CPU cores, on 2026-11-29.
Of 20 epochs of auditors, on random activations of the embedded network's shapes, 18 were fastest on
the device and two, by 8% at most, out of host memory. Out of a store of which nothing was cached
they took 1.02 to 1.75 times as long as on the device, and extracting anew 3 to 86 times as long as
reading the store. That was never the fastest, so nothing trains on activations that are recomputed:
those for which no memory has room stay on disk. On an accelerator nothing was measured.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax.errors import InputError

PLACES = ("device", "host", "store")
SHARE = 0.7  # of the free memory; the rest is for auditors and what they compute
_WORDS = {
    "device": "live on the device",
    "host": "live in host memory and are handed over a few steps at a time",
    "store": "stay on disk and are read a few steps at a time",
}


class Placement(NamedTuple):
    """One of `PLACES`, and why, in words with figures."""

    where: str
    reason: str


def choose(
    features: Any | Mapping[str, Any], device: int, host: int, asked: str | None = None
) -> Placement:
    """Where the features of a training live; nothing is moved.

    Args:
      features: AAD (n, ...), or {layer: (n, ...)}.
      device: bytes that are free on every device.
      host: bytes that are free in the machine's memory.
      asked: one of `PLACES`, where somebody decided already.

    Raises:
      InputError: "store" is asked for, and all of the features are in memory.
    """
    from_store = any(map(stored, jax.tree.leaves(features)))
    if asked == "store" and not from_store:
        raise InputError("activations in memory cannot be trained on out of a store")
    size = sum(held_as(x).itemsize * math.prod(x.shape) for x in jax.tree.leaves(features))
    if asked:
        return Placement(asked, f"{_WORDS[asked]}: {_gb(size)}, as was asked")
    device, host = SHARE * device, SHARE * host
    on_host = size <= host or not from_store  # which is on the way to the device
    fits = {"device": size <= device and on_host, "host": on_host, "store": True}
    where = next(place for place in PLACES if fits[place])
    room = f"{_gb(device)} on the device"
    if from_store and where != "device":
        room += f" and {_gb(host)} in host memory"
    return Placement(where, f"{_WORDS[where]}: {_gb(size)}, and there is room for {room}")


def held_as(features: Any) -> np.dtype:
    """The type in which activations are held, and handed over: what is no bfloat16 is float32."""
    own = np.dtype(getattr(features, "dtype", np.float32))
    return own if own == jnp.bfloat16 else np.dtype(np.float32)


def stored(features: Any) -> bool:
    """Whether they are not in memory: a `np.memmap`, or what else is read by its rows.

    That has a `shape` and a length, and takes a slice or an array of rows in brackets.
    """
    if isinstance(features, Joined):
        return any(map(stored, features.arrays))
    return isinstance(features, np.memmap) or not isinstance(features, np.ndarray | jax.Array)


class Joined:
    """Rows of several arrays, one after the other, that are put together when they are asked for.

    Attributes:
      arrays: those.
      shape, dtype: of all of it.
    """

    def __init__(self, arrays: Sequence[Any]):
        """Keeps the arrays, which differ in their lengths alone."""
        self.arrays = tuple(arrays)
        self._ends = np.cumsum([len(array) for array in arrays])
        self.shape = (int(self._ends[-1]), *arrays[0].shape[1:])
        self.dtype = held_as(arrays[0])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Some of the rows."""
        rows = np.arange(len(self))[rows]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for array, end in zip(self.arrays, self._ends):
            here = (rows >= end - len(array)) & (rows < end)
            found[here] = array[rows[here] - (end - len(array))]
        return found


def joined(*arrays: Any) -> np.ndarray | Joined:
    """The rows of all arrays: maps, which are large, and what is `stored` are not copied."""
    apart = any(stored(array) or array.ndim > 2 for array in arrays)
    return Joined(arrays) if apart else np.concatenate(arrays)


def _gb(size: float) -> str:
    return f"{size / 1e9:.3g} GB"
