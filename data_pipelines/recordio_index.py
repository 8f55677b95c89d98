"""Where the records of an MXNet RecordIO file begin, and their bytes.

A `.rec` file is a row of frames: a magic number, three bits that say which part of a record
follows, 29 bits of its length, the part, and zeros up to a multiple of 4. Where the magic number
stands in a record at a multiple of 4 the writer cuts the record and leaves it out, so that there it
always begins a frame. An `.idx` file has a line "key, tab, offset" for each record.

Source: `src/recordio.cc` of dmlc-core and `mxnet.recordio.MXIndexedRecordIO`.
"""

import array
import contextlib
import functools
import os
import struct
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_pipelines.encoded import digest
from data_pipelines.errors import InputError

MAGIC = 0xCED7230A
FRAME = 8  # bytes before a part
WHOLE, FIRST, MIDDLE, LAST = range(4)
_FRAME = struct.Struct("<II")
LENGTH_BITS = 29
_BLOCK = 1 << 20
_LARGE = 1 << 30  # bytes of a file whose scan shows its progress


class RecordFile:
    """The bytes of a .rec file; threads may share it, and it pickles.

    Attributes:
      path: the file.
      size: in bytes.
    """

    def __init__(self, path: str | Path):
        """Looks the file up; it is opened when something is read.

        Raises:
          InputError: no such file.
        """
        self.path = Path(path)
        try:
            status = self.path.stat()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        self.size, self._changed = status.st_size, status.st_mtime_ns

    def __reduce__(self):
        return RecordFile, (self.path,)

    @functools.cached_property
    def _descriptor(self) -> int:
        descriptor = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        return descriptor

    def version(self) -> list:
        """JSON values that change with the file."""
        return [str(self.path.resolve()), self.size, self._changed]

    def read(self, at: int, size: int) -> bytes:
        """`size` bytes from byte `at` on.

        Raises:
          InputError: the file ends before, or cannot be read.
        """
        try:
            data = os.pread(self._descriptor, size, at)
        except OSError as error:
            raise InputError(error.strerror) from None
        if len(data) < size:
            raise InputError(f"the file ends within it, at byte {self.size}")
        return data

    def peek(self, at: int, size: int) -> bytes:
        """`size` bytes from byte `at` on, with zeros for those that cannot be read."""
        with contextlib.suppress(OSError):
            return os.pread(self._descriptor, size, at).ljust(size, b"\0")
        return bytes(size)

    def frame(self, at: int) -> tuple[int, int]:
        """Which part of a record begins at byte `at`, and its length.

        Raises:
          InputError: none does.
        """
        magic, word = _FRAME.unpack(self.read(at, FRAME))
        if magic != MAGIC:
            raise InputError(f"no record begins at byte {at}")
        return word >> LENGTH_BITS, word & ((1 << LENGTH_BITS) - 1)

    def parts(self, begin: int) -> Iterator[tuple[int, int]]:
        """Where the parts of a record are, each as (byte, length).

        Raises:
          InputError: no record begins there, or one of its parts is missing.
        """
        at, allowed = begin, (WHOLE, FIRST)
        while allowed:
            part, length = self.frame(at)
            if part not in allowed:
                raise InputError(f"the frame at byte {at} does not go on with it")
            yield at + FRAME, length
            at += FRAME + _padded(length)
            allowed = () if part in (WHOLE, LAST) else (MIDDLE, LAST)

    def record(self, begin: int, end: int) -> bytes:
        """The record that begins at a byte, put together.

        Args:
          begin: its first byte.
          end: where it must have ended; a damaged length could name half a gigabyte.

        Raises:
          InputError: no record begins there, or it is cut off or longer.
        """
        parts = []
        for at, length in self.parts(begin):
            if at + length > end:
                raise InputError(f"it should end by byte {end}, and its length says {at + length}")
            parts.append(self.read(at, length))
        return MAGIC.to_bytes(4, "little").join(parts)

    def find(self, begin: int) -> int:
        """The first byte from `begin`, a multiple of 4, where a record begins; else `size`."""
        for at in range(begin, self.size, _BLOCK):
            words = np.frombuffer(self.peek(at, _BLOCK + 4), "<u4")
            hits = (words[:-1] == MAGIC) & (words[1:] >> LENGTH_BITS <= FIRST)
            if hits.any():
                return at + 4 * int(hits.argmax())
        return self.size


def _padded(length: int) -> int:
    return length + -length % 4


def scan(file: RecordFile) -> np.ndarray:
    """Finds the records of a file that has no index.

    Where a frame is damaged, the scan goes on at the next record that it finds. The result is kept
    in the user's cache.

    Returns:
      (n,) int64 bytes at which records begin, damaged ones among them.

    Raises:
      InputError: there is none.
    """
    if file.find(0) == file.size:
        raise InputError(f"{file.path}: no MXNet records in it")
    return cached(digest("offsets", file.version()), lambda: np.frombuffer(_scan(file), np.int64))


def _scan(file: RecordFile) -> array.array:
    offsets, at, complete = array.array("q"), 0, True
    title, quiet = f"indexing {file.path.name}", file.size < _LARGE
    with tqdm(total=file.size, desc=title, unit="B", unit_scale=True, disable=quiet) as bar:
        while at != file.size:
            try:
                part, length = file.frame(at)
            except InputError:  # of the last record the length may be wrong: look right behind it
                found = file.find(offsets[-1] + FRAME if offsets else 0)
                if complete and at < found:
                    offsets.append(at)
                at, complete = found, True
                continue
            if complete or part in (WHOLE, FIRST):
                offsets.append(at)
            complete = part in (WHOLE, LAST)
            at += FRAME + _padded(length)
            bar.update(at - bar.n)
    return offsets


def cached(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """An array from the user's cache, or made and put there where that can be written."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = Path(home, "mint_jax", "recordio", f"{name}.npy")
    with contextlib.suppress(OSError, ValueError, EOFError):  # none, or one that is cut off
        return np.load(path)
    values = make()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            np.save(Path(folder, path.name), values)
            os.replace(Path(folder, path.name), path)
    return values


def read_index(path: Path) -> tuple[Sequence[int], np.ndarray]:
    """Reads an .idx file.

    Returns:
      n keys in the order of the file, a `range` where they are consecutive, else (n,) int64; and
      (n,) int64 offsets.

    Raises:
      InputError: it cannot be read, lists nothing, or is no such text.
    """
    keys, offsets = _Keys(), array.array("q")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy warns where text is no number, or will raise
        for block in _blocks(path):
            try:
                numbers = np.fromstring(block, np.int64, sep=" ")
            except (ValueError, DeprecationWarning):
                numbers = None
            if numbers is None or len(numbers) != 2 * block.count(b"\t"):
                raise InputError(f"{path}: {_bad_line(block)} is not a key, a tab and an offset")
            keys.extend(numbers[::2])
            offsets.frombytes(numbers[1::2].tobytes())
    if not offsets:
        raise InputError(f"{path}: it lists no records")
    return keys.values(), np.frombuffer(offsets, np.int64)


class _Keys:
    """Collects keys; 17 million of them take no memory as long as they are consecutive."""

    def __init__(self):
        self._run, self._others = range(0), None

    def extend(self, keys: np.ndarray) -> None:
        if self._others is None:
            first = self._run.start if self._run else int(keys[0]) if len(keys) else 0
            longer = range(first, first + len(self._run) + len(keys))
            if np.array_equal(keys, np.arange(longer.stop - len(keys), longer.stop)):
                self._run = longer
                return
            self._others = array.array("q", self._run)
        self._others.frombytes(keys.tobytes())

    def values(self) -> Sequence[int]:
        return self._run if self._others is None else np.frombuffer(self._others, np.int64)


def _blocks(path: Path) -> Iterator[bytes]:
    """A text file, some whole lines at a time."""
    rest = b""
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                lines, newline, rest = (rest + block).rpartition(b"\n")
                if len(rest) >= _BLOCK:  # no line of an index
                    break
                yield lines + newline
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    yield rest


def _bad_line(block: bytes) -> str:
    """The first line that is no entry of an index, as messages show it."""
    for line in block.splitlines():
        fields = line.split(b"\t")
        if line.strip() and not (len(fields) == 2 and all(f.strip().isdigit() for f in fields)):
            return repr(line[:40].decode("latin1"))
    return repr(block[:40].decode("latin1"))
