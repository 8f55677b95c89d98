"""Random-access sources of face images.

A source has `len(source)`, `source[i]`, and two columns that need no decoding: `identities`,
(n,) int64, and `keys`, n names. An item is
{"image": (112, 112, 3) uint8 RGB, "identity": int, "key": str, "database": str}.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines import databases
from data_pipelines.bin_pack import BinPack
from data_pipelines.databases.image_folder import ImageFolder
from data_pipelines.encoded import digest
from data_pipelines.errors import InputError
from data_pipelines.recordio import RecordIOSource

Origin = tuple[Any, np.ndarray, np.ndarray]


def origins(source: Any, rows: np.ndarray) -> list[Origin]:
    """Where rows of a source come from, through subsets, concatenations and caches.

    Returns:
      [(base source, its rows (m,) int64, their places (m,) in `rows`)]; the places of all pieces
      together are every place once.
    """
    if hasattr(source, "origins"):
        return source.origins(rows)
    return [(source, rows, np.arange(len(rows)))]


def identities_of(source: Any, rows: np.ndarray) -> np.ndarray:
    """(m,) int64 identities of rows of a source, without those of the others where it can."""
    if hasattr(source, "identities_of"):
        return source.identities_of(rows)
    return np.asarray(source.identities)[rows]


class Subset:
    """Rows of another source, in the order given; `rows`, (m,) int64, says which."""

    def __init__(self, source: Any, indices: Sequence[int] | np.ndarray):
        self.source, self.rows = source, np.asarray(indices, np.int64)

    @property
    def identities(self) -> np.ndarray:
        return identities_of(self.source, self.rows)

    def identities_of(self, rows: np.ndarray) -> np.ndarray:
        return identities_of(self.source, self.rows[rows])

    @property
    def keys(self) -> tuple[str, ...]:
        keys = self.source.keys
        return tuple(keys[row] for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.source[int(self.rows[index])]

    def sha256(self, row: int) -> str | None:
        return self.source.sha256(int(self.rows[row]))

    def fingerprint(self) -> str:
        return digest(self.source.fingerprint(), hashlib.sha256(self.rows).hexdigest())

    def origins(self, rows: np.ndarray) -> list[Origin]:
        return origins(self.source, self.rows[rows])


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

    def sha256(self, row: int) -> str | None:
        ((base, rows, _),) = self.origins(np.array([row]))
        return base.sha256(int(rows[0]))

    def fingerprint(self) -> str:
        return digest([source.fingerprint() for source in self.sources])

    def origins(self, rows: np.ndarray) -> list[Origin]:
        parts = np.searchsorted(self._ends, rows, side="right")
        begins = self._ends - [len(source) for source in self.sources]
        found = []
        for part in np.unique(parts):
            places = np.flatnonzero(parts == part)
            inside = origins(self.sources[part], rows[places] - begins[part])
            found += [(base, own, places[where]) for base, own, where in inside]
        return found


def open_source(spec: str | Path, **preparation: Any) -> Any:
    """Opens a source by its name.

    Args:
      spec: a folder of images; an MXNet RecordIO pair, by its prefix or its .rec file; an
        InsightFace .bin pack; `tfds:NAME` or `tfds:FOLDER`, a database that
        `experiments.build_database` built; or `DATABASE:FOLDER`, a database as it is downloaded:
        `adience`, `fddb`, `gandiffface`, `glint360k` or `ijbc`.
      **preparation: of `Preparation`: `align`, `detector`, `quality`, `antialias`.

    Raises:
      InputError: nothing that is understood, or what the source raises.
    """
    kind, colon, rest = str(spec).partition(":")
    if colon and kind == "tfds":
        return databases.open_built(rest, **preparation)
    if colon and kind in databases.READERS:
        return databases.READERS[kind](rest, **preparation)
    path = Path(spec)
    if path.is_dir():
        return ImageFolder(path, **preparation)
    if path.suffix == ".bin":
        return BinPack(path, **preparation)
    if path.suffix == ".rec" or path.with_name(path.name + ".rec").is_file():
        return RecordIOSource(path, **preparation)
    known = ", ".join(f"{name}:FOLDER" for name in ("tfds", *databases.READERS))
    raise InputError(
        f"{spec}: not a source of images; a source is a folder of images, the prefix of a .rec "
        f"file, a .bin pack, or one of {known}"
    )
