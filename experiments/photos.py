"""Photos, aligned once: detection takes longer than everything that follows."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_pipelines import loader
from data_pipelines.alignment import SIZE
from data_pipelines.sources import Origin, Placed, Subset, origins

_BATCH = 64


class Cached:
    """The faces of another source, out of two .npy files.

    One holds the faces, (n, 112, 112, 3) uint8, the other (n, 2) float32 how they lay in their
    photos.
    """

    def __init__(self, source: Any, path: Path, places: Path):
        self.source, self.path, self._places = source, path, places
        self.identities, self.keys = np.asarray(source.identities), tuple(source.keys)

    @functools.cached_property
    def images(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="r")

    def __getstate__(self) -> dict:  # a worker process maps the file itself
        return {key: value for key, value in vars(self).items() if key != "images"}

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ((base, _, _),) = self.origins(np.array([index]))
        return {
            "image": np.array(self.images[index]),
            "identity": int(self.identities[index]),
            "key": self.keys[index],
            "database": base.database,
        }

    def sha256(self, row: int) -> str | None:
        return self.source.sha256(row)

    def fingerprint(self) -> str:
        return self.source.fingerprint()

    def origins(self, rows: np.ndarray) -> list[Origin]:
        return origins(self.source, rows)

    def placements(self, rows: np.ndarray) -> np.ndarray:
        return np.array(np.load(self._places, mmap_mode="r")[rows])


def aligned(source: Any, folder: Path, workers: int) -> tuple[Any, list[str]]:
    """The photos of a source, aligned, out of a cache; a run that was stopped goes on.

    Args:
      source: of photos.
      folder: of the cache.
      workers: Grain worker processes.

    Returns:
      The photos that could be read, and a sentence about those that could not.
    """
    name = source.fingerprint()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    unreadable = _fill(source, folder / name, workers)
    cached = Cached(source, *_files(folder / name)[:2])
    if not unreadable:
        return cached, []
    good = np.setdiff1d(np.arange(len(source)), list(unreadable))
    first = next(iter(unreadable.values()))
    ((base, _, _), *_) = origins(source, good[:1])
    note = f"{base.database}: {len(unreadable)} of {len(source)} images were left out, such as"
    return Subset(cached, good), [f"{note} {first}."]


def _fill(source: Any, path: Path, workers: int) -> dict[int, str]:
    """Aligns every photo into .npy files; returns {row: reason} of those that cannot be read.

    A file of lines beside them says how far they are: [rows done, {row: reason}]. A cache of faces
    alone, which does not say how they lay in their photos, is made anew.
    """
    images, places, record = _files(path)
    known = record.exists() and places.exists()
    lines = record.read_text().splitlines(keepends=True) if known else []
    lines = [json.loads(line) for line in lines if line.endswith("\n")]
    unreadable = {int(row): why for _, bad in lines for row, why in bad.items()}
    done = lines[-1][0] if lines else 0
    if done == len(source):
        return unreadable
    if not done:
        record.unlink(missing_ok=True)
        np.lib.format.open_memmap(
            images, mode="w+", dtype=np.uint8, shape=(len(source), SIZE, SIZE, 3)
        )
    array = np.load(images, mmap_mode="r+")
    todo = np.arange(done, len(source))
    faces = Subset(Placed(source, places), todo)
    batches = loader.batches(faces, _BATCH, workers=workers, keep_bad=True)
    with (
        record.open("w") as file,
        tqdm(total=len(source), initial=done, desc="aligning", unit="image") as bar,
    ):
        file.writelines(json.dumps(line) + "\n" for line in lines)
        for batch in batches:
            rows, mask = todo[batch["index"]], batch["_mask"]
            array[rows[mask]] = batch["image"][mask]
            array.flush()
            bad = {int(row): why for row, why in zip(rows, batch["error"]) if why}
            done += int(mask.sum()) + len(bad)
            file.write(json.dumps([done, bad]) + "\n")
            file.flush()
            unreadable |= bad
            bar.update(int(mask.sum()) + len(bad))
    return unreadable


def _files(path: Path) -> tuple[Path, Path, Path]:
    """Of faces, of how they lay in their photos, and of how far both are."""
    return path.with_suffix(".npy"), path.with_suffix(".places.npy"), path.with_suffix(".jsonl")
