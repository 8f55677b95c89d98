"""How far auditors are in their training, and checkpoints of that, from which it goes on.

A checkpoint holds a lot's state and which rows come next. It is read auditor by auditor, so that
another number of devices or processes, which makes other lots, can go on.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mint_jax import parallel

_SHARE = 20  # at most a 20th of the time goes into checkpoints
_FIRST_SECONDS = 0.2  # that the first one may take


class Progress:
    """Epochs and early stopping of the P auditors of a lot, each by its own validation loss.

    Attributes:
      epoch: the one that is under way, counted from 1.
      step: the one of the epoch that is next, counted from 0. With the epoch, the seed and the
        training rows it says which rows come in which order.
      lowest, at: (P,) the lowest validation losses, and their epochs.
    """

    def __init__(self, auditors: int):
        """Before the first step."""
        self.epoch, self.step = 1, 0
        self.lowest, self.at = np.full(auditors, np.inf), np.zeros(auditors, int)

    @property
    def place(self) -> tuple[int, int]:
        """Auditors at the same place can go on together."""
        return self.epoch, self.step

    def better(self, loss: np.ndarray, patience: int, min_delta: float) -> np.ndarray:
        """Ends the epoch; says which auditors (P,) now have their lowest loss."""
        running = self.epoch - self.at <= patience
        better = running & (loss < self.lowest - min_delta)
        self.lowest = np.where(better, loss, self.lowest)
        self.at = np.where(better, self.epoch, self.at)
        self.epoch, self.step = self.epoch + 1, 0
        return better

    def done(self, epochs: int, patience: int) -> bool:
        """Whether all auditors stopped, or all epochs are over."""
        return self.epoch > epochs or bool((self.epoch - self.at > patience).all())


class Checkpoints:
    """Of the auditors of one call, in a folder that may hold those of others.

    Attributes:
      places: {auditor: `Progress.place`} of those that an earlier run had begun.
    """

    def __init__(self, folder: str | Path | None, call: Any):
        """Reads what an earlier run of the same call left.

        Args:
          folder: None keeps nothing.
          call: a tree of all that the auditors depend on: arrays, and what `repr` describes.
        """
        self._folder = None if folder is None else Path(folder).absolute() / _digest(call)
        self._found: dict[int, dict] = {}
        for content in self._read():
            for row, p in enumerate(content["auditors"]):
                own = {k: content[k][row] for k in ("lowest", "at")}
                own |= {"place": tuple(content["place"].tolist())}
                own |= {"state": {k: x[row] for k, x in content["state"].items()}}
                if p not in self._found or own["place"] > self._found[p]["place"]:
                    self._found[int(p)] = own
        self.places = {p: own["place"] for p, own in self._found.items()}
        self._managers: dict[str, ocp.CheckpointManager] = {}
        self._seconds, self._last = _FIRST_SECONDS, time.monotonic()

    def _read(self) -> Iterator[dict]:
        if self._folder is None or not self._folder.exists():
            return
        for lot in sorted(self._folder.iterdir()):
            with _manager(lot) as manager:
                if manager.latest_step() is not None:
                    yield manager.restore(None, args=ocp.args.StandardRestore())

    def restore(self, lot: Sequence[int], progress: Progress, state: Any) -> Any:
        """Puts auditors of one place, and their `progress`, where they were stopped.

        `state` is a tree of arrays (P, ...), and so is what is returned.
        """
        found = [self._found[p] for p in lot]
        progress.epoch, progress.step = found[0]["place"]
        progress.lowest, progress.at = (np.array([f[k] for f in found]) for k in ("lowest", "at"))
        leaves, structure = jax.tree.flatten(state)
        rows = [np.stack([f["state"][str(i)] for f in found]) for i in range(len(leaves))]
        return jax.tree.unflatten(structure, rows)

    def due(self) -> bool:
        """Whether enough was done since the last one to be worth another."""
        waited = time.monotonic() - self._last
        return self._folder is not None and waited > _SHARE * self._seconds

    def save(self, lot: Sequence[int], progress: Progress, state: Any) -> None:
        """Replaces the checkpoint of a lot, of whose `state` arrays are (P >= len(lot), ...)."""
        if self._folder is None:
            return
        begin, count = time.monotonic(), len(lot)
        content = {
            "auditors": np.array(lot),
            "place": np.array(progress.place),
            "lowest": progress.lowest[:count],
            "at": progress.at[:count],
            "state": {str(i): x[:count] for i, x in enumerate(jax.tree.leaves(state))},
        }
        name = _digest(list(lot))
        if name not in self._managers:
            self._managers[name] = _manager(self._folder / name)
        manager = self._managers[name]
        latest = manager.latest_step()
        manager.save(0 if latest is None else latest + 1, args=ocp.args.StandardSave(content))
        self._last = time.monotonic()
        self._seconds = self._last - begin


def _manager(folder: Path) -> ocp.CheckpointManager:
    folder.mkdir(parents=True, exist_ok=True)
    alone = parallel.alone()
    options = ocp.CheckpointManagerOptions(
        max_to_keep=1,
        create=False,
        enable_async_checkpointing=False,
        multiprocessing_options=alone,
    )
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    return ocp.CheckpointManager(folder, options=options, item_handlers=handler)


def _digest(call: Any) -> str:
    """A name for equal calls."""
    digest = hashlib.blake2b(digest_size=16)
    for leaf in jax.tree.leaves(call, is_leaf=lambda x: x is None):
        if isinstance(leaf, np.ndarray):
            digest.update(f"{leaf.dtype}{leaf.shape}".encode())
            digest.update(np.ascontiguousarray(leaf).tobytes())
        else:
            digest.update(repr(leaf).encode())
    return digest.hexdigest()
