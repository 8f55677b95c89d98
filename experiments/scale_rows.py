"""What `experiments.scale` measured, read back, and straight lines over the sizes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mint_jax.errors import InputError

SQUARED = ("compare",)  # works whose time grows with the square of the images
_TELLING = 100_000  # images; below it memory grows because buffers fill
_MB = 2**20


class Line(NamedTuple):
    """A work as a straight line over the sizes that were measured.

    Attributes:
      sizes: images, ascending.
      seconds: for an image; for a pair of images where a work compares each with each.
      start: seconds that do not depend on them.
      peak: bytes of memory at the largest size.
      growth: bytes of memory for an image, between the two largest sizes.
      disk: bytes for an image of what is left, at the largest size; None where nothing is.
      cores: that were used.
    """

    sizes: tuple[int, ...]
    seconds: float
    start: float
    peak: float
    growth: float
    disk: float | None
    cores: int

    def memory(self, images: int) -> float | None:
        """Bytes; None where no size was large enough to tell growth from what a start takes."""
        if self.sizes[-1] < _TELLING:
            return None
        return self.peak + max(0.0, self.growth) * (images - self.sizes[-1])


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a scale.json; none where there is no file.

    Each is {"work", "images", "seconds", "images_per_second", "peak_mb": of the process, "disk_mb":
    of what it left, or None, "cores", "of": {"audited", "auditor", "reduce"}, "date", "versions"};
    MB are 2**20 bytes.

    Raises:
      InputError: it is something else.
    """
    try:
        found = json.loads(path.read_text())["rows"] if path.exists() else []
        for row in found:
            row["work"], row["images"], row["seconds"], row["peak_mb"], row["disk_mb"]
            row["cores"], row["of"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no rows of this command, move it away: {error}") from None
    return found


def lines(rows: Sequence[Mapping[str, Any]]) -> dict[str, Line]:
    """{work: its line} for every work that was measured at two sizes at least."""
    found = {}
    for work in dict.fromkeys(row["work"] for row in rows):
        own = sorted((row for row in rows if row["work"] == work), key=lambda row: row["images"])
        if len(own) < 2:
            continue
        sizes, seconds, peaks = (
            np.array([row[name] for row in own], float) for name in ("images", "seconds", "peak_mb")
        )
        slope, start = np.polyfit(pairs(sizes) if work in SQUARED else sizes, seconds, 1)
        last = own[-1]
        found[work] = Line(
            sizes=tuple(row["images"] for row in own),
            seconds=float(slope),
            start=float(start),
            peak=float(peaks[-1]) * _MB,
            growth=float((peaks[-1] - peaks[-2]) * _MB / (sizes[-1] - sizes[-2])),
            disk=None if last["disk_mb"] is None else last["disk_mb"] * _MB / last["images"],
            cores=last["cores"],
        )
    return found


def pairs(images: Any) -> Any:
    """How many pairs there are of so many images, or of each of an array of numbers."""
    return images * (images - 1) / 2
