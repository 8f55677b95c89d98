"""Random-access sources of face images.

A source has `len(source)`, `source[i]`, and two columns that need no decoding: `identities`,
(n,) int64, and `keys`, n names. An item is
{"image": (112, 112, 3) uint8 RGB, "identity": int, "key": str, "database": str}.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_pipelines import detection, images
from data_pipelines.alignment import SIZE, align
from data_pipelines.errors import InputError

_ALIGN = ("auto", "always", "never")


class ImageFolder:
    """Images of a folder and its sub-folders, in the order of their names.

    An image's identity is its sub-folder; an image directly in the folder is its own identity.

    Attributes:
      keys: (n,) tuple of paths relative to the folder, with forward slashes.
      identities: (n,) int64.
      database: the folder's name.
    """

    def __init__(
        self,
        path: str | Path,
        align: str = "auto",
        detector: str | Path | Callable | None = None,
    ):
        """Lists the folder; reads no image.

        Args:
          path: the folder.
          align: "auto" takes an image of 112x112 as aligned already and aligns every other;
            "always" aligns all; "never" only resizes.
          detector: a YuNet .onnx file, a function as in `data_pipelines.detection`, or None for
            the default detector. Nothing is loaded before the first image needs it.

        Raises:
          InputError: no such folder, no image in it, or an unknown `align`.
        """
        if align not in _ALIGN:
            raise InputError(f"align is {align!r}; it must be one of {', '.join(_ALIGN)}")
        self.path, self.align = Path(path), align
        self.database = self.path.resolve().name
        self.keys = _list_images(self.path)
        self.identities = _identities(self.keys)
        self._detector = detection.Lazy(detector)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads an image.

        Raises:
          InputError: it cannot be decoded, or no face is found; names the file and the reason.
        """
        path = os.path.join(self.path, self.keys[index])
        image = images.read(path)
        try:
            face = self._face(image)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        return {
            "image": face,
            "identity": int(self.identities[index]),
            "key": self.keys[index],
            "database": self.database,
        }

    def sha256(self, index: int) -> str | None:
        """SHA-256 of the file as it is, in hexadecimal; None where it cannot be read."""
        try:
            with open(self.path / self.keys[index], "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None

    def _face(self, image: np.ndarray) -> np.ndarray:
        fits = image.shape[:2] == (SIZE, SIZE)
        if self.align == "always" or (self.align == "auto" and not fits):
            return align(image, detection.landmarks(self._detector(image), image.shape))
        return image if fits else cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


class Subset:
    """Rows of another source, in the order given; `rows`, (m,) int64, says which."""

    def __init__(self, source: Any, indices: Sequence[int] | np.ndarray):
        self.source, self.rows = source, np.asarray(indices, np.int64)

    @property
    def identities(self) -> np.ndarray:
        return np.asarray(self.source.identities)[self.rows]

    @property
    def keys(self) -> tuple[str, ...]:
        keys = self.source.keys
        return tuple(keys[row] for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.source[int(self.rows[index])]


class Concatenated:
    """Sources one after the other; their people are different people.

    Attributes:
      identities: (n,) int64, unique over all sources: those of the second begin above the first's.
    """

    def __init__(self, sources: Sequence[Any]):
        self.sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in self.sources])
        columns = [np.asarray(source.identities, np.int64) for source in self.sources]
        sizes = [int(column.max(initial=-1)) + 1 for column in columns]
        self._offsets = np.cumsum([0, *sizes])
        self.identities = np.concatenate(
            [column + offset for column, offset in zip(columns, self._offsets)]
        )

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key for source in self.sources for key in source.keys)

    def __len__(self) -> int:
        return len(self.identities)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        part = int(np.searchsorted(self._ends, index, side="right"))
        begin = self._ends[part - 1] if part else 0
        item = dict(self.sources[part][int(index - begin)])
        item["identity"] = int(self.identities[index])
        return item


def open_source(spec: str | Path, **options: Any) -> Any:
    """Opens a source by its name.

    Args:
      spec: a folder of images.
      **options: of the source: `align` and `detector` of an `ImageFolder`.

    Raises:
      InputError: nothing that is understood.
    """
    if not Path(spec).is_dir():
        raise InputError(f"{spec}: not a source of images; a source is a folder of images")
    return ImageFolder(spec, **options)


def _list_images(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    keys = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(parent).relative_to(folder)
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in images.SUFFIXES:
                keys.append((inside / name).as_posix())
    if not keys:
        known = ", ".join(sorted(images.SUFFIXES))
        raise InputError(f"{folder}: no images in it ({known})")
    return tuple(sorted(keys))


def _identities(keys: Sequence[str]) -> np.ndarray:
    """Numbers people in the order in which they appear."""
    known = {}
    people = (key.rpartition("/")[0] or f"/{key}" for key in keys)
    return np.array([known.setdefault(name, len(known)) for name in people], np.int64)
