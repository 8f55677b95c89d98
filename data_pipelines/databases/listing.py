"""What the databases that come with lists of their images share.

Every entry of a list is a row, in the list's order, whatever state its image is in: a row whose
entry is broken, or whose file is not on disk, raises an `InputError` when it is read. So nothing is
lost without a word, and no row moves when a file is mended.
"""

import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines import images
from data_pipelines.encoded import EncodedSource
from data_pipelines.errors import InputError
from data_pipelines.preparation import Preparation


class Listing(EncodedSource):
    """Images that lists name.

    Attributes:
      folder: what `keys` and `paths` are relative to.
      keys: (n,) tuple of unique names.
      paths: (n,) names of image files, with forward slashes.
      identities: (n,) int64.
      splits: (n,) names of the database's own split, or None.
      broken: {row: reason} of the entries that are broken. Files that are not on disk are found out
        when they are read.
    """

    def __init__(
        self,
        folder: Path,
        keys: Sequence[str],
        people: Iterable[Hashable],
        *,
        paths: Sequence[str] | None = None,
        landmarks: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
        splits: Sequence[str] | None = None,
        broken: Mapping[int, str] | None = None,
        **preparation: Any,
    ):
        """Takes the columns; reads no image.

        Args:
          folder: of the database.
          keys: n names. One that comes again is a broken entry, for its image is a row already.
          people: n names of persons of any type, alike where the person is the same.
          paths: n files relative to `folder`; None: the keys.
          landmarks: (n, 5, 2) pixels.
          boxes: (n, 4) left, top, right, bottom in pixels.
          splits: n names.
          broken: {row: reason}.
          **preparation: of `Preparation`: `align`, `detector`, `quality`, `antialias`.

        Raises:
          InputError: no rows, or what `Preparation` raises.
        """
        self.folder, self.preparation = folder, Preparation(**preparation)
        self.paths, self.splits = keys if paths is None else paths, splits
        self.broken, self._landmarks, self._boxes = dict(broken or {}), landmarks, boxes
        self.keys = _apart(keys, self.broken)
        if not self.keys:
            raise InputError(f"{folder}: its lists name no images")
        self.identities = number(people)

    def encoded(self, row: int) -> bytes:
        if row in self.broken:
            raise InputError(self.broken[row])
        return images.read_bytes(os.path.join(self.folder, self.paths[row]))

    def landmarks(self, row: int) -> np.ndarray | None:
        return None if self._landmarks is None else self._landmarks[row]

    def box(self, row: int) -> np.ndarray | None:
        return None if self._boxes is None else self._boxes[row]

    def name(self, row: int) -> str:
        return os.path.join(self.folder, self.keys[row])


def _apart(keys: Sequence[str], broken: dict[int, str]) -> tuple[str, ...]:
    """The keys, each of them once; rows that come again are added to `broken`."""
    seen, unique = {}, []
    for row, key in enumerate(keys):
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > 1:
            broken[row] = "the lists name it more than once"
            key = f"{key}#again{seen[key] - 1}"
        unique.append(key)
    return tuple(unique)


def number(people: Iterable[Hashable]) -> np.ndarray:
    """(n,) int64 numbers of persons, in the order in which they appear."""
    known = {}
    return np.array([known.setdefault(person, len(known)) for person in people], np.int64)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list that are not blank, with their numbers from 1, without line ends.

    Raises:
      InputError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            for at, line in enumerate(file, 1):
                if line.strip():
                    yield at, line.rstrip("\n")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def find_folder(*choices: Path) -> Path:
    """The first of some folders that exists.

    Raises:
      InputError: none does.
    """
    for choice in choices:
        if choice.is_dir():
            return choice
    raise InputError(f"{' or '.join(map(str, choices))}: no such folder")
