"""MXNet RecordIO packs of images as a random-access source, without MXNet.

A record is a header (flag, label, two ids; flag more float32 labels follow where it is not 0) and
an encoded image. InsightFace's training sets begin with a record 0 without an image, whose labels
are the number of images and of records, each plus one, and end with a record for each person.

Source: `mxnet.recordio.IRHeader`, and `face2rec2.py` of InsightFace.
"""

import contextlib
import functools
import hashlib
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from data_pipelines import images
from data_pipelines.encoded import EncodedSource, digest
from data_pipelines.errors import InputError
from data_pipelines.preparation import Preparation
from data_pipelines.recordio_index import (
    FRAME,
    LENGTH_BITS,
    MAGIC,
    WHOLE,
    RecordFile,
    cached,
    read_index,
    scan,
)

_HEADER = struct.Struct("<IfQQ")
_HEAD = np.dtype(  # of a record in one part, with its frame
    [
        ("magic", "<u4"),
        ("frame", "<u4"),
        ("flag", "<u4"),
        ("label", "<f4"),
        ("ids", "<u8", 2),
        ("first", "<f4"),
    ]
)
_LABELS = 1 << 31  # an identity is below
_ROUNDING = 2**-24  # of float32, relative
_PROBES = 16
_ROWS = 1 << 14  # that a thread reads labels of at a time
_THREADS = 8
_LARGE = 1 << 18  # rows whose scan shows its progress


class RecordIOSource(EncodedSource):
    """The images of a .rec file, in the order of its .idx.

    Of InsightFace's layout, in the order of the keys, without record 0 and the records of persons.
    Everything else is a plain list, in which every record is an image.

    Attributes:
      keys: the keys of the index, n strings made when they are asked for.
      database: the name of the folder.
    """

    def __init__(self, prefix: str | Path, **preparation: Any):
        """Reads the index and a few records. Without an .idx the .rec is scanned.

        Args:
          prefix: of PREFIX.rec and PREFIX.idx; with one of the suffixes it is understood too.
          **preparation: of `Preparation`: `align`, `detector`, `quality`, `antialias`.

        Raises:
          InputError: a file is missing, cut off or not what it should be, the two do not fit
            together, or what `Preparation` raises.
        """
        prefix = Path(prefix)
        if prefix.suffix in (".rec", ".idx"):
            prefix = prefix.with_suffix("")
        self.preparation = Preparation(**preparation)
        self._file = RecordFile(prefix.with_name(prefix.name + ".rec"))
        self.database = self._file.path.resolve().parent.name
        index = prefix.with_name(prefix.name + ".idx")
        self._rebuilt = not index.exists()
        self._index = self._file.path if self._rebuilt else index
        if self._rebuilt:
            self._offsets = scan(self._file)
            numbers = range(len(self._offsets))
        else:
            numbers, self._offsets = read_index(index)
        self._check_fit()
        if self._is_insightface(numbers):
            self._sort(numbers)
            self._records = range(1, self._border())
            self.keys = _Keys(self._records)
        else:
            _check_unique(numbers, self._index)
            self._records = range(len(numbers))
            self.keys = _Keys(numbers)

    def __getstate__(self) -> dict[str, Any]:
        """Workers read items, and those know their identities."""
        return {name: value for name, value in vars(self).items() if name != "identities"}

    def name(self, row: int) -> str:
        return f"{self._file.path}: record {self.keys[row]}"

    def encoded(self, row: int) -> bytes:
        return self._image(row)[1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads a face: as `EncodedSource`, and "label", which is the identity.

        Raises:
          InputError: the record holds no image that can be decoded, its label is no number of a
            person, or no face is found; the message names the record and the reason.
        """
        row = range(len(self))[index]
        try:
            identity, data = self._image(row)
            face = self.preparation(images.decode(data))
        except InputError as error:
            raise InputError(f"{self.name(row)}: {error}") from None
        return {
            "image": face,
            "identity": identity,
            "label": identity,
            "key": self.keys[row],
            "database": self.database,
        }

    @functools.cached_property
    def identities(self) -> np.ndarray:
        """(n,) int64 labels: every image's own, read at first use and kept in the user's cache.

        An image whose label cannot be read is a person of its own, above every label.
        """
        identities = cached(digest("identities", self._file.version(), self.contents()), self._scan)
        unknown = np.flatnonzero(identities < 0)
        identities[unknown] = _LABELS + unknown
        return identities

    def identities_of(self, rows: np.ndarray) -> np.ndarray:
        """As `identities[rows]`; reads no other labels, as long as those are not known."""
        rows = np.asarray(rows, np.int64)
        if "identities" in vars(self) or 2 * len(rows) > len(self):
            return self.identities[rows]
        labels = [self._labels(self._records[row : row + 1]) for row in rows.tolist()]
        found = np.concatenate([np.zeros(0, np.int64), *labels])
        unknown = found < 0  # persons of their own, above every label
        found[unknown] = _LABELS + rows[unknown]
        return found

    def contents(self) -> Any:
        """The size of the .rec, and digests of where its images are and of their keys."""
        begins = self._offsets[self._records.start : self._records.stop]
        return [self._file.size, hashlib.sha256(begins).hexdigest(), self.keys.digest()]

    def _check_fit(self) -> None:
        """Whether the records of the index are in the file, as far as is soon seen."""
        path, offsets, n = self._file.path, self._offsets, len(self._offsets)
        if offsets.min() < 0:
            raise InputError(f"{self._index}: it lists an offset below 0")
        inside = offsets <= self._file.size - FRAME
        missing = n - np.count_nonzero(inside)
        missing += self._is_cut(int(offsets.max(where=inside, initial=0)))
        if missing:
            other = "" if self._rebuilt else f", or {self._index.name} is that of another file"
            raise InputError(
                f"{path}: {missing} of {n} records reach past its end, byte {self._file.size}: it "
                f"was cut off{other}"
            )
        probes = [int(offset) for offset in offsets[np.linspace(0, n - 1, _PROBES, dtype=int)]]
        heads = [self._file.peek(at, 4) for at in probes if at]  # any file has a record at byte 0
        if heads and MAGIC.to_bytes(4, "little") not in heads:
            raise InputError(
                f"{self._index}: no record begins where it says; it does not fit {path}"
            )

    def _is_cut(self, begin: int) -> bool:
        try:
            return any(at + length > self._file.size for at, length in self._file.parts(begin))
        except InputError:
            return False

    def _is_insightface(self, numbers: Sequence[int]) -> bool:
        """Whether record 0 says how many images there are."""
        place = 0 if isinstance(numbers, range) else int(np.argmin(numbers))
        if numbers[place] != 0:
            return False
        try:
            return self._record(place).is_bare
        except InputError as error:
            if self._is_bare(len(numbers) - 1):
                raise InputError(f"{self._file.path}: record 0: {error}") from None
            return False

    def _sort(self, numbers: Sequence[int]) -> None:
        """Puts record k at place k."""
        if isinstance(numbers, range):
            return
        order = np.argsort(numbers)
        wrong = np.flatnonzero(numbers[order] != np.arange(len(order)))
        if len(wrong):
            raise InputError(
                f"{self._index}: record {wrong[0]} is missing, or one before it is listed twice"
            )
        self._offsets = self._offsets[order]

    def _border(self) -> int:
        """The place of the first record behind the images.

        Record 0 holds it as float32, beyond 2^24 rounded: the records near it tell. They do too
        where a scan for records counted some that are damaged twice or not at all.
        """
        count, n = float(self._record(0).labels[0]), len(self._offsets)
        if not 1 < count * (1 - _ROUNDING) <= n:
            raise InputError(
                f"{self._index}: {n} records in it, and record 0 of {self._file.path.name} "
                f"speaks of {count - 1:.0f} images"
            )
        slack = n if self._rebuilt else int(count * _ROUNDING)
        first, last = max(1, int(count) - slack), min(n, int(count) + slack)
        border = min(int(count), n)
        while border > first and self._is_bare(border - 1):
            border -= 1
        while border < last and not self._is_bare(border):
            border += 1
        return border

    def _record(self, place: int) -> "_Record":
        begin = int(self._offsets[place])
        after = self._offsets[place + 1] if place + 1 < len(self._offsets) else 0
        end = int(after) if after > begin else self._file.size
        return _unpack(self._file.record(begin, end))

    def _is_bare(self, place: int) -> bool:
        try:
            return self._record(place).is_bare
        except InputError:
            return False

    def _image(self, row: int) -> tuple[int, bytes]:
        """An image's identity and its encoded bytes."""
        record = self._record(self._records[row])
        if not record.payload:
            raise InputError("it holds no image")
        return _identity(record.labels[0]), record.payload

    def _scan(self) -> np.ndarray:
        """(n,) int64 labels; -1 where one cannot be read."""
        chunks = [self._records[at : at + _ROWS] for at in range(0, len(self._records), _ROWS)]
        labels = np.empty(len(self._records), np.int64)
        title, quiet = f"labels of {self._file.path.name}", len(labels) < _LARGE
        with (
            ThreadPoolExecutor(_THREADS) as threads,
            tqdm(total=len(labels), desc=title, unit="image", disable=quiet) as bar,
        ):
            for chunk in threads.map(self._labels, chunks):
                labels[bar.n : bar.n + len(chunk)] = chunk
                bar.update(len(chunk))
        return labels

    def _labels(self, records: range) -> np.ndarray:
        begins = self._offsets[records.start : records.stop].tolist()
        heads = np.frombuffer(b"".join(self._file.peek(at, _HEAD.itemsize) for at in begins), _HEAD)
        labels = np.where(heads["flag"] == 0, heads["label"], heads["first"])
        simple = (heads["magic"] == MAGIC) & (heads["frame"] >> LENGTH_BITS == WHOLE)
        simple &= heads["frame"] >= _HEADER.size + 4 * heads["flag"].astype(np.int64)
        simple &= (labels >= 0) & (labels < _LABELS) & (labels == np.floor(labels))
        identities = np.where(simple, labels, -1).astype(np.int64)
        for row in np.flatnonzero(~simple):
            with contextlib.suppress(InputError):
                identities[row] = _identity(self._record(records[row]).labels[0])
        return identities


class _Record(NamedTuple):
    """What a record says: (m,) float32 labels, and an image."""

    labels: np.ndarray
    payload: bytes

    @property
    def is_bare(self) -> bool:
        """Whether it is one of those that InsightFace has beside images."""
        return len(self.labels) == 2 and not self.payload


def _unpack(data: bytes) -> _Record:
    if len(data) < _HEADER.size:
        raise InputError(f"its header is cut off after {len(data)} bytes")
    flag, label, _, _ = _HEADER.unpack_from(data)
    if not flag:
        return _Record(np.float32([label]), data[_HEADER.size :])
    begin = _HEADER.size + 4 * flag
    if len(data) < begin:
        raise InputError(f"it is too short for its {flag} labels")
    return _Record(np.frombuffer(data, "<f4", flag, _HEADER.size), data[begin:])


def _identity(label: float) -> int:
    if not (0 <= label < _LABELS and label == int(label)):
        raise InputError(f"its label {label:g} is no number of a person")
    return int(label)


class _Keys(Sequence[str]):
    """Keys of records as strings, made when they are asked for."""

    def __init__(self, numbers: Sequence[int]):
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, row: int) -> str:
        return str(self._numbers[row])

    def digest(self) -> str:
        """A digest of all keys, without a string for each."""
        if isinstance(self._numbers, range):
            return repr(self._numbers)
        return hashlib.sha256(self._numbers).hexdigest()


def _check_unique(numbers: Sequence[int], index: Path) -> None:
    if isinstance(numbers, range):
        return
    ordered = np.sort(numbers)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise InputError(f"{index}: key {twice[0]} is listed twice")
