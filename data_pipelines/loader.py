"""Batches of a source through Grain: sharded by process, shuffled, decoded in parallel, padded.

The images and their order depend on the arguments alone, not on the number of workers. The order
over all processes together does not depend on the number of processes either, so a position in it
is all the state there is: a job that was stopped goes on where it was, on any number of processes.
"""

import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from typing import Any

import grain
import numpy as np
from absl import flags

from data_pipelines.alignment import SIZE
from data_pipelines.errors import InputError

_THREADS = os.cpu_count() or 2  # batches decoded side by side; OpenCV releases the GIL
_AHEAD = _THREADS + 2  # batches waiting: hides the decoding, bounds the memory whatever n is


class Batches(Iterator[dict[str, Any]]):
    """The iterator that `batches` returns; `close` ends its threads and processes.

    Its state is a small JSON value that Orbax saves beside what the batches feed:

        ocp.args.Composite(train=ocp.args.StandardSave(state), data=ocp.args.JsonSave(
            iterator.get_state()))

    and `batches(..., state=restored["data"])` goes on behind the last batch that was handed out.
    """

    def __init__(self, plan: "_Plan", read: "_Read", workers: int, keep_bad: bool):
        self._plan, self._keep_bad, self._done = plan, keep_bad, 0
        data = grain.MapDataset.range(len(plan)).map(read)
        options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
        data = data.to_iter_dataset(options)
        if workers:
            if not flags.FLAGS.is_parsed():  # Grain reads flags; a library has none to parse
                flags.FLAGS.mark_as_parsed()
            options = grain.MultiprocessingOptions(num_workers=workers)
            data = data.mp_prefetch(options, worker_init_fn=_end_with_reader)
        self._iterator = iter(data)
        self._workers_to_start = workers > 0

    def __len__(self) -> int:
        """Batches that are left."""
        return len(self._plan) - self._done

    def __next__(self) -> dict[str, Any]:
        try:
            batch = self._next().batch
            if not self._keep_bad and (error := "".join(batch["error"])):
                raise InputError(error)
        except BaseException:
            self.close()
            raise
        self._done += 1
        return batch

    def _next(self) -> "_Sealed":
        if not self._workers_to_start:
            return next(self._iterator)
        self._workers_to_start = False
        resource_tracker.ensure_running()  # its start would make the thread hear again
        with ThreadPoolExecutor(1, initializer=_be_deaf) as starting:
            return starting.submit(next, self._iterator).result()

    def get_state(self) -> dict[str, Any]:
        """The position behind the last batch that was handed out, as JSON."""
        return self._plan.state(self._done)

    def close(self) -> None:
        """Ends the threads and processes that read ahead; a second call does nothing."""
        self._iterator.close()

    def __del__(self):
        if hasattr(self, "_iterator"):
            self.close()


def batches(
    source: Any,
    batch_size: int,
    *,
    workers: int = 0,
    shard_index: int = 0,
    shard_count: int = 1,
    shuffle_seed: int | None = None,
    epochs: int = 1,
    keep_bad: bool = False,
    state: Mapping[str, Any] | None = None,
) -> Batches:
    """Iterates over a source.

    Args:
      source: random-access source; `source[i]["image"]` is (112, 112, 3) uint8.
      batch_size: rows of a batch.
      workers: processes that decode; 0 decodes in threads of this process. Worker processes take
        seconds to start and import the main module anew, so they pay off where a source computes
        in Python, not where it decodes. They leave SIGTERM to this process, and end with it.
      shard_index, shard_count: this process's share; every share has the same number of batches.
        Together the k-th batches of all shares are the next images of the order.
      shuffle_seed: order of the images, another one each epoch; None keeps the source's order.
      epochs: passes over the source; a batch never spans two.
      keep_bad: whether an image that cannot be read becomes a masked row that says why.
      state: of an iterator over the same images in the same order, whose batches are not given
        again; its batch size, workers and shards may have been others.

    Returns:
      An iterator over {"image": (B, 112, 112, 3) uint8, "index": (B,) int64 rows of the source,
       "_mask": (B,) bool, "error": list of B strings, empty where all is well}.
      Rows with `_mask` False are bad images, or padding (index 0, no error) up to B rows.

    Raises:
      InputError: a bad image and not `keep_bad`, no images at all, or a state of other images.
    """
    if not len(source):
        raise InputError("the source holds no images")
    order = {"images": len(source), "shuffle_seed": shuffle_seed}
    state = {**order, "epoch": 0, "position": 0} if state is None else dict(state)
    if {key: state.get(key) for key in order} != order:
        raise InputError(f"the state of the pipeline is of another order: {state}, not {order}")
    plan = _Plan(
        images=len(source),
        shuffle_seed=shuffle_seed,
        batch_size=batch_size,
        shard_index=shard_index,
        shard_count=shard_count,
        epochs=epochs,
        first_epoch=state["epoch"],
        first_position=state["position"],
    )
    return Batches(plan, _Read(source, plan), workers, keep_bad)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """Which images make up which batch of one process."""

    images: int
    shuffle_seed: int | None
    batch_size: int
    shard_index: int
    shard_count: int
    epochs: int
    first_epoch: int
    first_position: int

    @property
    def _step(self) -> int:
        """Images that all processes take together in a batch."""
        return self.batch_size * self.shard_count

    def _batches(self, begin: int) -> int:
        return -(-(self.images - begin) // self._step)

    def __len__(self) -> int:
        later = max(0, self.epochs - self.first_epoch - 1) * self._batches(0)
        return (self.first_epoch < self.epochs) * self._batches(self.first_position) + later

    def _at(self, batch: int) -> tuple[int, int]:
        """Epoch and position in its order at which a batch begins."""
        first = self._batches(self.first_position)
        if batch < first:
            return self.first_epoch, self.first_position + batch * self._step
        later, batch = divmod(batch - first, self._batches(0))
        return self.first_epoch + 1 + later, batch * self._step

    def state(self, batch: int) -> dict[str, Any]:
        epoch, position = self._at(batch)
        return {
            "images": self.images,
            "shuffle_seed": self.shuffle_seed,
            "epoch": epoch,
            "position": position,
        }

    def rows(self, batch: int) -> np.ndarray:
        """(b <= batch_size,) rows of the source."""
        epoch, begin = self._at(batch)
        end = min(begin + self._step, self.images)
        positions = np.arange(begin + self.shard_index, end, self.shard_count)
        if self.shuffle_seed is None:
            return positions
        order = grain.MapDataset.range(self.images).shuffle(seed=self.shuffle_seed)
        order = order.repeat(self.epochs)
        return np.array([order[int(epoch * self.images + p)] for p in positions], np.int64)


def _be_deaf() -> None:
    """Makes a thread, and the threads and processes that come of it, deaf to SIGTERM.

    Clusters send it to all processes of a job. The one that reads saves, and needs batches to.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _end_with_reader(worker: int, workers: int) -> None:
    """In a worker process: ends it when the process that it decodes for was killed."""
    reader = multiprocessing.parent_process()
    threading.Thread(target=lambda: (reader.join(), os._exit(1)), daemon=True).start()


class _Sealed:
    """Keeps Grain's worker processes from putting a batch's arrays into shared memory.

    There they outlive a run that ends early, and containers often have only 64 MiB of it.
    """

    def __init__(self, batch: dict[str, Any]):
        self.batch = batch


@dataclasses.dataclass(frozen=True)
class _Read:
    """The images of a batch; each is copied into it while it is in the processor's cache."""

    source: Any
    plan: _Plan

    def __call__(self, number: int) -> _Sealed:
        size = self.plan.batch_size
        batch = {
            "image": np.zeros((size, SIZE, SIZE, 3), np.uint8),
            "index": np.zeros(size, np.int64),
            "_mask": np.zeros(size, bool),
            "error": [""] * size,
        }
        for row, index in enumerate(self.plan.rows(int(number))):
            batch["index"][row] = index
            try:
                batch["image"][row] = self.source[int(index)]["image"]
                batch["_mask"][row] = True
            except InputError as error:
                batch["error"][row] = str(error)
        return _Sealed(batch)
