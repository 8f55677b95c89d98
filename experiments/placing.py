"""Seconds of an epoch of an auditor, by where the activations live that it trains on."""

import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mint_jax import aad
from mint_jax.audited import AuditedModel
from mint_jax.auditors import CNN, FitConfig, Vanilla, fit_population, placement

RECOMPUTED = "recomputed"
_AUDITORS = {auditor.reduce: auditor for auditor in (Vanilla, CNN)}
_VALIDATION = 0.2  # of the images
_EPOCHS = 2  # that are timed of a training, behind one that is not, in which programs compile


def cases(model: AuditedModel) -> Iterator[tuple[str, str]]:
    """(reduction, layer) of all tables: maxima of every layer, and maps of those that have some."""
    conv = [layer for layer in model.layers if layer.startswith("conv")]
    yield from (("max", layer) for layer in (*model.layers, *[aad.ALL_CONV][: len(conv)]))
    yield from (("map", layer) for layer in conv)


def measure(
    extractor: aad.Extractor, images: np.ndarray, folder: Path, turns: int
) -> dict[str, Any]:
    """Trains an auditor of each place by turns.

    Args:
      extractor: of one layer.
      images: (n, 112, 112, 3) uint8; labels are made up.
      folder: gets the store, a file that goes again.
      turns: trainings with each place.

    Returns:
      {"layer", "reduce", "images", "bytes": of the activations, "seconds": {place: median of an
      epoch}, "range": {place: [least, most]}, "fastest": place}
    """
    (layer,), path = extractor.layers, folder / "activations.npy"
    features = extractor(images)[layer]
    np.save(path, features)
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what is not written yet stays in the cache
    mapped = np.load(path, mmap_mode="r")
    forget = lambda: _forget(mapped, path)  # noqa: E731
    anew = _Recomputed(extractor, images, features.shape)
    trained = {
        "device": (features, "device", None),
        "host": (features, "host", None),
        "store": (mapped, "store", forget),
        RECOMPUTED: (anew, "store", None),
    }
    found = {place: [] for place in trained}
    for _ in range(turns):
        for place, arguments in trained.items():
            found[place] += _epochs(_AUDITORS[extractor.reduce](layer), *arguments)
    path.unlink()
    medians = {place: float(np.median(times)) for place, times in found.items()}
    return {
        "layer": layer,
        "reduce": extractor.reduce,
        "images": len(images),
        "bytes": features.nbytes,
        "seconds": medians,
        "range": {place: [min(times), max(times)] for place, times in found.items()},
        "fastest": min(medians, key=medians.get),
    }


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A table in Markdown of what `measure` found, in milliseconds."""
    places = [*placement.PLACES, RECOMPUTED]
    table = [["layer", "activations", "images", "MB", *places, "fastest"]]
    table.append(["---"] * len(table[0]))
    words = {"max": "maxima", "map": "maps"}
    for row in rows:
        times = [f"{1e3 * row['seconds'][place]:,.1f}" for place in places]
        size = [f"{row['images']:,}", f"{row['bytes'] / 1e6:,.1f}"]
        table.append([row["layer"], words[row["reduce"]], *size, *times, row["fastest"]])
    return [f"| {' | '.join(cells)} |" for cells in table]


class _Recomputed:
    """Activations that are extracted whenever rows of them are read."""

    def __init__(self, extractor: aad.Extractor, images: np.ndarray, shape: tuple[int, ...]):
        self.shape, self._extractor, self._images = shape, extractor, images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self._extractor(self._images[rows])[self._extractor.layers[0]]


def _epochs(
    auditor: Vanilla | CNN, features: Any, place: str, before: Callable[[], None] | None
) -> list[float]:
    """Seconds of epochs; `before` each of them something may be done that does not count."""
    count, taken, begin = len(features), [], 0.0

    def on_epoch(*_: Any) -> None:
        nonlocal begin
        taken.append(time.perf_counter() - begin)
        if before is not None:
            before()
        begin = time.perf_counter()

    labels = np.arange(count) % 2
    train = np.arange(count)[None] < round(count * (1 - _VALIDATION))
    config = FitConfig(epochs=1 + _EPOCHS, patience=1 + _EPOCHS, place=place)
    fit_population(auditor, features, labels, train, ~train, [0], config, on_epoch=on_epoch)
    return taken[1:]


def _forget(mapped: np.memmap, path: Path) -> None:
    """Takes a file out of memory, and out of what the system keeps of files."""
    mapped.base.madvise(mmap.MADV_DONTNEED)
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
