"""Random-access sources of face images.

A source has `len(source)`, `source[i]`, and two columns that need no decoding: `identities`,
(n,) int64, and `keys`, n names. An item is
{"image": (112, 112, 3) uint8 RGB, "identity": int, "key": str, "database": str}.
"""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines import databases, images
from data_pipelines.alignment import UNPLACED, Placement
from data_pipelines.bin_pack import BinPack
from data_pipelines.databases.image_folder import ImageFolder
from data_pipelines.encoded import EncodedSource, digest
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


def placements(source: Any, rows: np.ndarray) -> np.ndarray:
    """How faces of a source lay in their photos: (m, 2) float32, the fields of `Placement`.

    They are known where a cache keeps them, and NaN elsewhere.
    """
    if hasattr(source, "placements"):
        return source.placements(rows)
    return np.full((len(rows), 2), UNPLACED, np.float32)


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

    def placements(self, rows: np.ndarray) -> np.ndarray:
        return placements(self.source, self.rows[rows])


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
        found = []
        for source, own, places in self._pieces(rows):
            inside = origins(source, own)
            found += [(base, rows, places[where]) for base, rows, where in inside]
        return found

    def placements(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), 2), np.float32)
        for source, own, places in self._pieces(rows):
            found[places] = placements(source, own)
        return found

    def _pieces(self, rows: np.ndarray) -> Iterator[Origin]:
        """As `origins`, but each source is one of `self.sources`."""
        parts = np.searchsorted(self._ends, rows, side="right")
        begins = self._ends - [len(source) for source in self.sources]
        for part in np.unique(parts):
            places = np.flatnonzero(parts == part)
            yield self.sources[part], rows[places] - begins[part], places


class Placed:
    """The faces of another source, which notes in a file how each lay in its photo as it is read.

    Batches hold images and no more. A file reaches this process out of threads and out of worker
    processes alike, and before the batch does.
    """

    def __init__(self, source: Any, path: Path):
        """Takes a .npy file, (n, 2) float32 as `placements` has it; makes one where it is not."""
        self.source, self._path = source, path
        if not path.exists():
            shape = len(source), len(UNPLACED)
            notes = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
            notes[:] = UNPLACED

    @functools.cached_property
    def _notes(self) -> np.ndarray:
        return np.load(self._path, mmap_mode="r+")

    def __getstate__(self) -> dict:  # a worker process maps the file itself
        return {key: value for key, value in vars(self).items() if key != "_notes"}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        image, self._notes[index] = _placed(self.source, index)
        return {"image": image}

    def placements(self, rows: np.ndarray) -> np.ndarray:
        return np.array(self._notes[rows])


def _placed(source: Any, index: int) -> tuple[np.ndarray, Placement]:
    """The face `source[index]`, and how it lay in its photo, if it was cut out of one."""
    ((base, rows, _),) = origins(source, np.array([index]))
    if not isinstance(base, EncodedSource):
        return source[index]["image"], UNPLACED
    row = int(rows[0])
    try:
        photo = images.decode(base.encoded(row))
        return base.preparation.placed(photo, base.landmarks(row), base.box(row))
    except InputError as error:
        raise InputError(f"{base.name(row)}: {error}") from None


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
