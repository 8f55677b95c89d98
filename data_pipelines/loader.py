"""Batches of a source through Grain: sharded by process, shuffled, decoded in parallel, padded.

The images and their order depend on the arguments alone, not on the number of workers.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np
from absl import flags

from data_pipelines.alignment import SIZE
from data_pipelines.errors import InputError

_THREADS = 2  # batches that are decoded side by side in a process; OpenCV releases the GIL
_AHEAD = 4  # batches waiting: hides the decoding, and bounds the memory whatever the source's size


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
) -> Iterator[dict[str, Any]]:
    """Iterates over a source.

    Args:
      source: random-access source; `source[i]["image"]` is (112, 112, 3) uint8.
      batch_size: rows of a batch.
      workers: processes that decode; 0 decodes in threads of this process. Worker processes take
        seconds to start and import the main module anew, so they pay off where a source computes
        in Python, not where it decodes.
      shard_index, shard_count: this process's share; every share has the same number of batches.
      shuffle_seed: order of the images, another one each epoch; None keeps the source's order.
      epochs: passes over the source; a batch never spans two.
      keep_bad: whether an image that cannot be read becomes a masked row that says why.

    Yields:
      {"image": (B, 112, 112, 3) uint8, "index": (B,) int64 rows of the source,
       "_mask": (B,) bool, "error": list of B strings, empty where all is well}.
      Rows with `_mask` False are bad images, or padding (index 0, no error) up to B rows.

    Raises:
      InputError: a bad image and not `keep_bad`, or no images at all.
    """
    if not len(source):
        raise InputError("the source holds no images")
    share = -(-len(source) // shard_count)  # the last shares are padded to the length of the first
    data = grain.MapDataset.range(share * shard_count)
    if shuffle_seed is not None:
        data = data.shuffle(seed=shuffle_seed)
    data = data[shard_index::shard_count].batch(batch_size, batch_fn=list)
    data = data.repeat(epochs).map(_Read(source, batch_size))
    options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    data = data.to_iter_dataset(options)
    if workers:
        if not flags.FLAGS.is_parsed():  # Grain reads flags of its own; a library has none to parse
            flags.FLAGS.mark_as_parsed()
        data = data.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return _iterate(data, keep_bad)


def _iterate(data: Any, keep_bad: bool) -> Iterator[dict[str, Any]]:
    iterator = iter(data)
    try:
        for sealed in iterator:
            batch = sealed.batch
            if not keep_bad and (error := "".join(batch["error"])):
                raise InputError(error)
            yield batch
    finally:
        iterator.close()


class _Sealed:
    """Keeps Grain's worker processes from putting a batch's arrays into shared memory.

    There they outlive a run that ends early, and containers often have only 64 MiB of it.
    """

    def __init__(self, batch: dict[str, Any]):
        self.batch = batch


@dataclasses.dataclass(frozen=True)
class _Read:
    """Rows of the source, at most `batch_size`, to a batch; each is copied while it is in cache."""

    source: Any
    batch_size: int

    def __call__(self, indices: Sequence[int]) -> _Sealed:
        batch = {
            "image": np.zeros((self.batch_size, SIZE, SIZE, 3), np.uint8),
            "index": np.zeros(self.batch_size, np.int64),
            "_mask": np.zeros(self.batch_size, bool),
            "error": [""] * self.batch_size,
        }
        for row, index in enumerate(indices):
            if index >= len(self.source):  # padding of the last shares
                continue
            batch["index"][row] = index
            try:
                batch["image"][row] = self.source[int(index)]["image"]
                batch["_mask"][row] = True
            except InputError as error:
                batch["error"][row] = str(error)
        return _Sealed(batch)
