"""Folders of photos, aligned once: detection takes longer than everything that follows."""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_pipelines import loader
from data_pipelines.alignment import SIZE
from data_pipelines.sources import ImageFolder, Subset

_BATCH = 64


class Cached:
    """A source over a .npy file of aligned images, (n, 112, 112, 3) uint8."""

    def __init__(self, path: Path, identities: np.ndarray, keys: tuple[str, ...], database: str):
        self.path, self.identities, self.keys = path, identities, keys
        self.database = database

    @functools.cached_property
    def images(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="r")

    def __getstate__(self) -> dict:  # a worker process maps the file itself
        return {key: value for key, value in vars(self).items() if key != "images"}

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {
            "image": np.array(self.images[index]),
            "identity": int(self.identities[index]),
            "key": self.keys[index],
            "database": self.database,
        }


def aligned(path: str, folder: Path, detector: str | None, workers: int) -> tuple[Any, list[str]]:
    """The photos of a folder, aligned, out of a cache that is filled at the first call.

    Args:
      path: folder of photos.
      folder: of the cache.
      detector: a YuNet .onnx file, or None for the default one.
      workers: Grain worker processes.

    Returns:
      The photos that could be read, and sentences about those that could not.

    Raises:
      InputError: no such folder, or no images in it.
    """
    source = ImageFolder(path, detector=detector)
    contents = repr((str(source.path.resolve()), source.keys, detector))
    stem = f"{source.database}-{hashlib.sha256(contents.encode()).hexdigest()[:12]}"
    images, record = folder / f"{stem}.npy", folder / f"{stem}.json"
    if not record.exists():
        folder.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(_fill(source, images, workers), indent=1))
    unreadable = json.loads(record.read_text())
    cached = Cached(images, source.identities, source.keys, source.database)
    good = [row for row, key in enumerate(source.keys) if key not in unreadable]
    if not unreadable:
        return cached, []
    first = next(iter(unreadable.values()))
    note = f"{path}: {len(unreadable)} of {len(source)} images were left out, such as {first}."
    return Subset(cached, good), [note]


def _fill(source: ImageFolder, path: Path, workers: int) -> dict[str, str]:
    """Aligns every photo into a .npy file; returns {key: reason} of those that cannot be read."""
    shape = (len(source), SIZE, SIZE, 3)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    unreadable = {}
    batches = loader.batches(source, _BATCH, workers=workers, keep_bad=True)
    steps = -(-len(source) // _BATCH)
    for batch in tqdm(batches, total=steps, desc=f"aligning {source.database}", unit="batch"):
        mask = batch["_mask"]
        images[batch["index"][mask]] = batch["image"][mask]
        for row, error in zip(batch["index"], batch["error"], strict=True):
            if error:
                unreadable[source.keys[row]] = error
    images.flush()
    return unreadable
