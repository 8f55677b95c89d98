"""FDDB: news photos whose faces are marked by ellipses.

Source: Jain and Learned-Miller, "FDDB: A Benchmark for Face Detection in Unconstrained Settings",
UMass Amherst UM-CS-2010-009.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.databases.listing import Listing, find_folder, lines
from data_pipelines.errors import InputError

_FOLDS = 10


class Fddb(Listing):
    """The faces of FDDB, a row each, in the order of the folds.

    A key is the photo's name, `#` and the number of the face in it. FDDB says nothing of who is
    who: every face is an identity. It has boxes, the smallest that hold the ellipses, and no
    landmarks: the detector finds them in the box.
    """

    database = "fddb"

    def __init__(self, folder: str | Path, **preparation: Any):
        """Reads the lists; reads no image.

        Args:
          folder: that holds `FDDB-folds` and `originalPics`.
          **preparation: of `Preparation`: `align`, `detector`, `quality`, `antialias`.

        Raises:
          InputError: a list or the folder of photos is missing, or a number of faces does not fit.
        """
        folder = Path(folder)
        photos = find_folder(folder / "originalPics")
        faces = [
            face
            for fold in range(1, _FOLDS + 1)
            for face in _read(folder / "FDDB-folds" / f"FDDB-fold-{fold:02d}-ellipseList.txt")
        ]
        super().__init__(
            photos,
            [f"{face.photo}#{face.number}" for face in faces],
            range(len(faces)),
            paths=[f"{face.photo}.jpg" for face in faces],
            boxes=np.array([face.box for face in faces], np.float32).reshape(-1, 4),
            splits=[face.fold for face in faces],
            broken={row: face.error for row, face in enumerate(faces) if face.error},
            **preparation,
        )


@dataclasses.dataclass
class _Face:
    photo: str
    number: int
    fold: str
    box: np.ndarray
    error: str


def _read(path: Path) -> Iterator[_Face]:
    fold = path.name.removesuffix("-ellipseList.txt")
    entries = lines(path)
    for at, photo in entries:
        photo = photo.strip()
        try:
            count = int(next(entries)[1])
        except (StopIteration, ValueError):
            raise InputError(f"{path}: line {at} is followed by no number of faces") from None
        for face in range(count):
            at, line = next(entries, (at, "/"))
            if "/" in line:  # the next photo, or the end
                raise InputError(f"{path}: line {at}: {photo} has {face} faces, not {count}")
            try:
                yield _Face(photo, face, fold, ellipse_box(*_ellipse(line)), "")
            except ValueError as error:
                reason = f"line {at} of {path.name}: {error}"
                yield _Face(photo, face, fold, np.full(4, np.nan), reason)


def _ellipse(line: str) -> list[float]:
    fields = line.split()
    if len(fields) != 6:
        raise ValueError(f"has {len(fields)} fields, not 6")
    values = [float(field) for field in fields[:5]]
    if not (np.isfinite(values).all() and min(values[:2]) > 0):
        raise ValueError("not an ellipse")
    return values


def ellipse_box(major: float, minor: float, angle: float, x: float, y: float) -> np.ndarray:
    """The smallest upright box around an ellipse.

    The point at phase t is (x + major cos t cos angle - minor sin t sin angle, ...): a sinusoid in
    each coordinate, whose amplitude is half a side of the box.

    Args:
      major, minor: half the axes, in pixels.
      angle: of the major axis to the horizontal, in radians.
      x, y: the middle.

    Returns:
      (4,) float64 left, top, right, bottom.
    """
    cosine, sine = np.cos(angle), np.sin(angle)
    half = np.hypot([major * cosine, major * sine], [minor * sine, minor * cosine])
    return np.concatenate([np.subtract((x, y), half), np.add((x, y), half)])
