"""Activations of a whole source into a store, shard by shard, from where it was stopped."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from data_pipelines import loader
from data_pipelines.errors import InputError
from data_pipelines.sources import Subset, open_source, origins
from experiments.metrics import Metrics
from experiments.waiting import Waiting
from mint_jax import aad, audited, parallel, preemption


@dataclass
class Tally:
    """Counts of images: `read` now and `kept` from earlier; `bad` of both.

    `waiting` is the share of the time in which the devices waited for images.
    """

    base: str
    read: int
    kept: int
    bad: int
    seconds: float
    waiting: float

    def __str__(self) -> str:
        earlier = f", {self.kept:,} were there already" if self.kept else ""
        speed = f"{self.seconds:.1f} s, {self.read / self.seconds:,.0f} images/s"
        return (
            f"{self.base}: {self.read:,} images{earlier}, {self.bad:,} bad ones; {speed}; "
            f"the devices waited for images {self.waiting:.0%} of the time"
        )

    def of_all_processes(self) -> "Tally":
        """The sum over all processes, when the last of them is done, and their mean waiting."""
        parallel.barrier("extracted")
        counts = np.array([self.read, self.kept, self.bad], np.int32)
        times = np.array([self.seconds, self.waiting], np.float32)
        counts, times = parallel.gather((counts, times))
        seconds, waiting = times[:, 0].max().item(), times[:, 1].mean().item()
        return Tally(self.base, *counts.sum(axis=0).tolist(), seconds, waiting)


def run(config: ConfigDict, workdir: Path) -> Tally:
    """Extracts what `config` says into its store, or into `workdir/aad`, with all processes.

    Raises:
      InputError: what the configuration names cannot be used, or the store cannot be written.
    """
    for key in ("audited", "images"):
        if not config[key]:
            raise InputError(f"--config: extract.py needs {key}=...")
    source = open_source(
        config.images,
        align=config.align,
        detector=config.detector or None,
        quality=config.quality or None,
        antialias=config.antialias,
    )
    model, layers = audited.load(config.audited), [layer for layer in config.layers if layer]
    with contextlib.closing(Metrics(workdir)) as metrics:
        tally = extract_source(
            model,
            source,
            config.store or workdir / "aad",
            layers=layers or (*model.layers, *aad.with_views("outcome", config.views)[1:]),
            reduce=config.reduce,
            dtype=config.dtype,
            per_device_batch=config.per_device_batch,
            workers=config.workers,
            process_index=parallel.process_index(),
            process_count=parallel.process_count(),
            on_shard=metrics.write,
        )
    return tally.of_all_processes()


def extract_source(
    model: audited.AuditedModel,
    source: Any,
    base: str | Path,
    *,
    layers: Sequence[str] = (),
    reduce: str = "max",
    dtype: str = "float32",
    per_device_batch: int = 64,
    workers: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    on_shard: Callable[[int, Mapping[str, float]], None] = lambda images, scalars: None,
    **options: Any,
) -> Tally:
    """Extracts this process's shards of a source that are not in the store yet; counts them.

    Args:
      model: the audited model.
      source: random-access source.
      base: folder or URL of the store.
      layers: of the model; none: all of them.
      reduce, per_device_batch: as in `aad.make_extractor`.
      dtype: "float32" or "bfloat16", of the stored activations.
      workers: Grain worker processes that decode.
      process_index, process_count: this process's share of the shards.
      on_shard: called after each shard with how many images of that share are extracted, and with
        {"images_per_second", of this shard, "bad", of this run, "waiting": share of the shard's
        time in which the devices waited for images}.
      **options: further ones of `aad.create_or_open_store`.

    Raises:
      InputError: an unknown layer, a store of something else, or one that cannot be written.
    """
    layers = tuple(layers) or model.layers
    if reduce == "both":
        raise InputError('reduce is "both"; a store holds "max", or "map", which has the maxima')
    if aad.ALL_CONV in layers:
        raise InputError(f"{aad.ALL_CONV} is not stored: it is conv1, conv2, ... side by side")
    extractor = aad.make_extractor(model, layers, reduce, per_device_batch, dtype)
    with parallel.process_0_first("store"):
        store = aad.create_or_open_store(
            base,
            model_sha256=model.sha256,
            model_name=model.name,
            source_fingerprint=source.fingerprint(),
            rows=len(source),
            layers=aad.shapes(model, layers, reduce),
            reduce=reduce,
            dtype=dtype,
            per_device_batch=per_device_batch,
            devices=extractor.chunk // per_device_batch,
            **options,
        )
    todo = _rows(store, store.pending(process_index, process_count))
    own = [store.span(shard) for shard in range(process_index, store.shards, process_count)]
    total = sum(end - begin for begin, end in own)
    start, waiting = time.perf_counter(), 0.0
    if len(todo):
        waiting = _fill(store, extractor, source, todo, workers, total, on_shard)
    return Tally(
        base=store.base,
        read=len(todo),
        kept=total - len(todo),
        bad=sum(row // store.shard_rows % process_count == process_index for row in store.bad),
        seconds=time.perf_counter() - start,
        waiting=waiting,
    )


def _fill(
    store: aad.Store,
    extractor: aad.Extractor,
    source: Any,
    todo: np.ndarray,
    workers: int,
    total: int,
    on_shard: Callable[[int, Mapping[str, float]], None],
) -> float:
    """Extracts the rows `todo` of a source, whole shards; a batch never spans two of them.

    Every batch begins at a multiple of `per_device_batch`, on any number of devices. So an image
    always has the same place in a device's batch, which the last bits of convolutions depend on.

    Returns:
      the share of the time in which the devices waited for images.
    """
    writer = aad.Writer(store)
    size = math.gcd(store.shard_rows, extractor.chunk)
    batches = loader.batches(Subset(source, todo), size, workers=workers, keep_bad=True)
    with (
        contextlib.closing(batches),
        contextlib.closing(Waiting()) as waiting,
        tqdm(total=total, initial=total - len(todo), desc="extracting", unit="image") as bar,
        preemption.listening() as stopped,
    ):
        kept, done, failed = total - len(todo), 0, 0
        before, waited, begin = done, 0.0, time.perf_counter()
        for batch, _, values in waiting.stream(extractor, batches):
            rows, good = todo[batch["index"]], batch["_mask"]
            bad = _bad(source, rows, batch["error"])
            found = {layer: array[: len(good)][good] for layer, array in values.items()}
            writer.add(rows[good], found, bad)
            count = int(good.sum()) + len(bad)
            bar.update(count)
            done, failed = done + count, failed + len(bad)
            if done % store.shard_rows == 0 or done == len(todo):
                now, so_far = time.perf_counter(), waiting.seconds()
                shares = np.array([done - before, so_far - waited]) / (now - begin)
                scalars = {"images_per_second": shares[0], "bad": failed, "waiting": shares[1]}
                on_shard(kept + done, scalars)
                before, waited, begin = done, so_far, now
            if stopped():
                break
        writer.close()
        return waiting.share()


def _rows(store: aad.Store, shards: Sequence[int]) -> np.ndarray:
    """All rows of some shards."""
    spans = [np.arange(*store.span(shard)) for shard in shards]
    return np.concatenate([np.zeros(0, np.int64), *spans])


def _bad(source: Any, rows: np.ndarray, errors: Sequence[str]) -> dict[int, tuple[str, str]]:
    """{row: (key, reason)} of rows that have an error, which begins with the image's name."""
    bad = {}
    for row, error in zip(rows, errors, strict=True):
        if error:
            ((base, own, _),) = origins(source, np.array([row]))
            reason = error.removeprefix(f"{base.name(int(own[0]))}: ")
            bad[int(row)] = base.keys[int(own[0])], reason
    return bad
