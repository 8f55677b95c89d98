"""Adience: faces out of albums that phones uploaded.

Source: Eidinger, Enbar and Hassner, "Age and Gender Estimation of Unfiltered Faces", IEEE
Transactions on Information Forensics and Security 2014.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data_pipelines.databases.listing import Listing, find_folder, lines
from data_pipelines.errors import InputError

_FOLDS = 5
_PREFIXES = {"aligned": "landmark_aligned_face", "faces": "coarse_tilt_aligned_face"}
_COLUMNS = ("user_id", "original_image", "face_id")


class Adience(Listing):
    """The faces of Adience, in the order of its folds; a person is a `face_id` of a `user_id`.

    The crops, those of `aligned` too, are larger than a face and not on the ArcFace template:
    landmarks are the detector's.
    """

    database = "adience"

    def __init__(
        self,
        folder: str | Path,
        *,
        crops: str | None = None,
        frontal: bool = False,
        **preparation: Any,
    ):
        """Reads the lists; reads no image.

        Args:
          folder: that holds `fold_0_data.txt` to `fold_4_data.txt`, and `aligned` or `faces`.
          crops: "aligned" or "faces"; None takes `aligned` where it is there.
          frontal: whether to read the `fold_frontal_*_data.txt` instead, which name the faces among
            them that look ahead.
          **preparation: of `Preparation`: `align`, `detector`, `quality`, `antialias`.

        Raises:
          InputError: a list or the folder of crops is missing, or a list has no such columns.
        """
        folder = Path(folder)
        if crops not in (None, *_PREFIXES):
            raise InputError(f"crops is {crops!r}; it must be one of {', '.join(_PREFIXES)}")
        crops = find_folder(*(folder / name for name in ([crops] if crops else _PREFIXES))).name
        stem = "fold_frontal" if frontal else "fold"
        entries = [
            entry
            for fold in range(_FOLDS)
            for entry in _read(folder / f"{stem}_{fold}_data.txt", f"{stem}_{fold}", crops)
        ]
        super().__init__(
            folder,
            [entry.path for entry in entries],
            [entry.person for entry in entries],
            splits=[entry.fold for entry in entries],
            broken={row: entry.error for row, entry in enumerate(entries) if entry.error},
            **preparation,
        )


class _Entry(NamedTuple):
    path: str
    person: tuple[str, ...]
    fold: str
    error: str


def _read(path: Path, fold: str, crops: str) -> Iterator[_Entry]:
    entries = lines(path)
    _, header = next(entries, (1, ""))
    columns = header.split("\t")
    if not set(_COLUMNS) <= set(columns):
        raise InputError(f"{path}: its first line does not name {', '.join(_COLUMNS)}")
    for at, line in entries:
        fields = line.split("\t")
        if len(fields) != len(columns):
            place = f"{path.name}:{at}"
            reason = f"it has {len(fields)} fields, not {len(columns)}"
            yield _Entry(place, (place,), fold, reason)
            continue
        user, image, face = (fields[columns.index(name)] for name in _COLUMNS)
        yield _Entry(f"{crops}/{user}/{_PREFIXES[crops]}.{face}.{image}", (user, face), fold, "")
