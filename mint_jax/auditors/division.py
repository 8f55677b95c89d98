"""How auditors that train together are divided over devices: one by one, or by rows.

As long as every process has an auditor, each device trains whole ones and waits for no other.
With fewer, all devices of all processes train all of them, each on its rows of every batch, and
add up their gradients.
"""

from typing import Any

import jax
import numpy as np

from mint_jax import parallel

Batch = dict[str, np.ndarray]


class Whole:
    """Every auditor on one device of this process."""

    over_rows = False
    put = staticmethod(parallel.shard)  # (P, ...) onto the devices
    take = staticmethod(parallel.unshard)  # the inverse, as NumPy arrays

    @staticmethod
    def padded(lot: list) -> list:
        """As many auditors on each device: the last of a lot is repeated."""
        return lot + [lot[-1]] * (-len(lot) % parallel.device_count())

    @staticmethod
    def divided(batch: Batch) -> Batch:
        """What this process hands to its devices of arrays (P, ...): all of it."""
        return batch


class Rows:
    """All auditors on every device of all processes, with other rows of each batch."""

    over_rows = True
    put = staticmethod(parallel.replicate)

    @staticmethod
    def take(tree: Any) -> Any:
        """The inverse of `put`, as NumPy arrays."""
        return jax.tree.map(np.asarray, parallel.unreplicate(tree))

    @staticmethod
    def padded(lot: list) -> list:
        """The lot as it is."""
        return lot

    @staticmethod
    def divided(batch: Batch) -> Batch:
        """Arrays (P, steps, B) become (devices * P, steps, b), arrays (P,) (devices * P,).

        b is a device's share of B, which rows of weight 0 fill up where it does not divide.
        """
        return {name: _share(x, name == "weights") for name, x in batch.items()}


def _share(x: np.ndarray, weights: bool) -> np.ndarray:
    devices = parallel.device_count()
    if x.ndim == 1:
        return np.tile(x, devices)
    missing = -x.shape[-1] % (devices * parallel.process_count())
    # What is at the edge of a batch is always a row of the auditor's own.
    x = np.pad(x, [(0, 0), (0, 0), (0, missing)], "constant" if weights else "edge")
    x = x[..., parallel.own_part(x.shape[-1])]
    x = np.moveaxis(x.reshape(*x.shape[:2], devices, -1), 2, 0)
    return x.reshape(-1, *x.shape[2:])
