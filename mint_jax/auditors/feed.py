"""Hands a population's rows to the devices: all of them once, or a few steps at a time."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from mint_jax import parallel
from mint_jax.auditors import placement, schedule
from mint_jax.auditors.division import Rows, Whole
from mint_jax.auditors.schedule import Part

_SEGMENT = 8  # steps handed over at once when the features stay on the host
_ROWS = 512  # resident rows are padded to a multiple, so that like jobs share a program


class Feed:
    """Yields (features, batch), a segment of an epoch, as the programs of `programs.py` take them.

    `features` are an array or {layer: array}: all rows, on every device, or only those of the
    segment, each device holding its own auditors'. Either way a batch names rows of what is
    there, so one program serves both. A batch also says how many steps each auditor takes in
    it and how many it has taken before.

    Attributes:
      steps: of a segment of training.
    """

    def __init__(
        self,
        features: Any | dict[str, Any],
        members: list[Part],
        batch_size: int,
        where: str,
        division: type[Whole] | type[Rows],
    ):
        """Puts the features where they live, one of `placement.PLACES`."""
        self._features = jax.tree.map(lambda x: _held(x, where), features)
        self._size, self._division = batch_size, division
        self._resident = jax.tree.map(_placed, self._features) if where == "device" else None
        self.example = jax.tree.map(lambda x: np.zeros((1, *x.shape[1:]), np.float32), features)
        self.steps = self._segment(max(len(part.train) for part in members))
        self._held_steps = self._segment(max(len(part.validation) for part in members))
        self._held: tuple[list[Part], list] = ([], [])

    def _segment(self, rows: int) -> int:
        steps = -(-rows // self._size)
        return steps if self._resident is not None else min(steps, _SEGMENT)

    def statistics(self, lot: list[Part], function: Callable) -> dict:
        """`function(features, rows)` of each layer and auditor's training part, stacked."""
        each = [
            jax.tree.map(lambda x, part=part: function(x, part.train), self._features)
            for part in lot
        ]
        return jax.tree.map(lambda *x: np.stack(x), *each)

    def training(self, lot: list[Part], epoch: int, step: int) -> Iterator[tuple]:
        """The batches of an epoch, counted from 1, from a step on, counted from 0."""
        rows = [schedule.shuffled(part, epoch) for part in lot]
        taken = (epoch - 1) * np.array([part.steps(self._size) for part in lot])
        yield from self._hand_over(lot, rows, self.steps, taken, step)

    def validation(self, lot: list[Part]) -> Iterator[tuple]:
        """The validation rows; they stay on the device where the features do."""
        rows = [part.validation for part in lot]
        if self._resident is None:
            yield from self._hand_over(lot, rows, self._held_steps, np.zeros(len(lot)))
            return
        if self._held[0] is not lot:
            segments = self._hand_over(lot, rows, self._held_steps, np.zeros(len(lot)))
            self._held = lot, list(segments)
        yield from self._held[1]

    def _hand_over(
        self,
        lot: list[Part],
        rows: list[np.ndarray],
        steps: int,
        taken: np.ndarray,
        first: int = 0,
    ) -> Iterator[tuple]:
        """Segments of that many steps, from the step `first` on."""
        block, labels = steps * self._size, [part.labels for part in lot]
        for begin in range(first * self._size, max(map(len, rows)), block):
            parts = [r[begin : begin + block] for r in rows]
            batch = schedule.batches(parts, labels, steps, self._size)
            batch["steps"] = np.array([-(-len(r) // self._size) for r in parts], np.int32)
            batch["taken"] = (taken + begin // self._size).astype(np.uint32)
            batch = self._division.divided(batch)
            features, batch["rows"] = self._place(batch["rows"])
            yield features, parallel.shard(batch)

    def _place(self, rows: np.ndarray) -> tuple[Any, np.ndarray]:
        """Features on the devices, and where in them `rows` are."""
        if self._resident is not None:
            return self._resident, rows
        flat, per_device = rows.reshape(-1), rows.size // parallel.device_count()
        gathered = jax.tree.map(lambda x: parallel.shard(_rows(x, flat)), self._features)
        local = np.arange(rows.size, dtype=np.int32) % per_device
        return gathered, local.reshape(rows.shape)


def _rows(features: Any, index: np.ndarray) -> np.ndarray:
    return np.asarray(features[index], placement.held_as(features))


def _held(features: Any, where: str) -> Any:
    """What the host reads rows of: out of a store all of it only where it shall live there."""
    if isinstance(features, jax.Array):
        return np.asarray(features)
    if where != "host" or not placement.stored(features):
        return features
    held = np.empty(features.shape, placement.held_as(features))
    for i in range(0, len(held), _ROWS):
        held[i : i + _ROWS] = features[i : i + _ROWS]
    return held


def _placed(features: Any) -> jax.Array:
    """All rows on every device, zeros behind them; some at a time, for lack of room for copies."""
    count = max(1, -(-len(features) // _ROWS))
    pieces = (_piece(features, i * _ROWS) for i in range(count))
    if count == 1:
        return parallel.replicate(next(pieces))
    shape, dtype = (count * _ROWS, *features.shape[1:]), placement.held_as(features)
    placed = parallel.replicate(np.zeros(shape, dtype))
    for i, piece in enumerate(pieces):
        placed = _written()(placed, *parallel.replicate((piece, np.int32(i * _ROWS))))
    return placed


def _piece(features: Any, begin: int) -> np.ndarray:
    rows = features[begin : begin + _ROWS]
    piece = np.zeros((_ROWS, *features.shape[1:]), placement.held_as(features))
    piece[: len(rows)] = rows
    return piece


@functools.cache
def _written() -> Callable:
    """Puts a piece among the rows that a device holds, from one of them on."""
    write = functools.partial(jax.lax.dynamic_update_slice_in_dim, axis=0)
    return parallel.pmap(write, donate_argnums=(0,))
