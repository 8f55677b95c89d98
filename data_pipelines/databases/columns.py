"""Keys and identities of a built database, in flat files beside its images.

They are read without a look at the images, of which there may be millions.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipelines.errors import InputError

_IDENTITIES = "identities.int64"
_KEYS = "keys.utf8"  # one behind the other
_ENDS = "key_ends.int64"  # where in it each key ends
_INT64 = "<i8"


class ColumnsWriter(contextlib.ExitStack):
    """Appends rows to the columns in a folder; a context manager."""

    def __init__(self, folder: Path):
        super().__init__()
        self._identities, self._keys, self._ends = (
            self.enter_context(open(folder / name, "ab")) for name in (_IDENTITIES, _KEYS, _ENDS)
        )

    def add(self, identity: int, key: str) -> None:
        """Appends a row."""
        self._identities.write(np.array(identity, _INT64).tobytes())
        self._keys.write(encode(key))
        self._ends.write(np.array(self._keys.tell(), _INT64).tobytes())


def encode(key: str) -> bytes:
    """A key as UTF-8; file names that are none keep their bytes."""
    return key.encode("utf-8", "surrogateescape")


class Keys(Sequence[str]):
    """The column of keys; a key is read from disk when it is asked for."""

    def __init__(self, folder: Path):
        self._bytes = np.memmap(folder / _KEYS, np.uint8, "r")
        self._ends = np.memmap(folder / _ENDS, _INT64, "r")

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> str:
        row = range(len(self))[row]
        begin = self._ends[row - 1] if row else 0
        return self._bytes[begin : self._ends[row]].tobytes().decode("utf-8", "surrogateescape")


def read(folder: Path) -> tuple[Keys, np.ndarray]:
    """The keys and (n,) int64 identities in a folder.

    Raises:
      InputError: there are none.
    """
    try:
        return Keys(folder), np.fromfile(folder / _IDENTITIES, _INT64).astype(np.int64, copy=False)
    except (OSError, ValueError):
        raise InputError(f"{folder}: not a database that was built by this program") from None
