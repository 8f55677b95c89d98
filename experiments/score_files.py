"""The lines of a scoring: one file in the source's order, whoever wrote them and was stopped when.

    scores.jsonl                what there is
    scores.jsonl.of-process-1   what process 1 of several adds while it computes

One process alone appends to the first file. `merge` makes one file of whatever was left.
"""

import contextlib
import glob
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from data_pipelines.errors import InputError

_OWN = ".of-process-"


@contextlib.contextmanager
def appending(output: Path, process: int, processes: int) -> Iterator[IO[str]]:
    """The open file that a process adds its lines to, after a merge.

    Raises:
      InputError: it cannot be written.
    """
    own = output if processes == 1 else output.with_name(f"{output.name}{_OWN}{process}")
    with _named(own), own.open("a", encoding="utf-8") as file:
        yield file


def merge(output: Path, keys: Sequence[str]) -> np.ndarray:
    """Puts the lines of all processes, and of earlier runs, into `output` in the order of `keys`.

    A last line that was cut off is dropped. An image has one line, the first of several. Lines of
    images that are not in the source any more come last. No line is held in memory.

    Returns:
      (n,) bool, which of the keys have a line.

    Raises:
      InputError: a file cannot be read or written, or holds lines of another kind.
    """
    with _named(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.touch()
        parts = sorted(output.parent.glob(f"{glob.escape(output.name)}{_OWN}*"))
        files = [output, *parts]
        found = [_read(path, keys) for path in files]
        rows = np.concatenate([own for own, _ in found])
        absent = rows < 0
        rows[absent] = len(keys) + np.arange(absent.sum())
        if parts or not (rows[1:] > rows[:-1]).all():
            first = np.unique(rows, return_index=True)[1]
            begins = np.concatenate([own[:-1] for _, own in found])
            counts = [len(own) for own, _ in found]
            owners = np.repeat(np.arange(len(files), dtype=np.int16), counts)
            _rewrite(output, files, owners[first], begins[first])
        else:
            os.truncate(output, found[0][1][-1])
        for part in parts:
            part.unlink()
    done = np.zeros(len(keys), bool)
    done[rows[rows < len(keys)]] = True
    return done


def _read(path: Path, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of a file's whole lines: their rows (m,), -1 for unknown images, and their borders (m + 1,).

    Raises:
      InputError: a line is of another kind.
    """
    rows, borders, find = array("q"), array("q", [0]), _Rows(keys)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                rows.append(find(json.loads(line)["image"]))
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{path}: line {number} is not the score of an image") from None
            borders.append(borders[-1] + len(line))
    return np.asarray(rows), np.asarray(borders)


class _Rows:
    """Finds the row of a key, or -1; there is no table of all keys until one breaks the order."""

    def __init__(self, keys: Sequence[str]):
        self._keys, self._row = keys, -1
        self._table: dict[str, int] | None = None

    def __call__(self, key: str) -> int:
        if self._table is None:
            ahead = range(self._row + 1, len(self._keys))
            self._row = next((row for row in ahead if self._keys[row] == key), -1)
            if self._row >= 0:
                return self._row
            self._table = {key: row for row, key in enumerate(self._keys)}
        return self._table.get(key, -1)


def _rewrite(output: Path, files: Sequence[Path], owners: np.ndarray, begins: np.ndarray) -> None:
    """Makes `output` of lines that begin somewhere in some of the files, all of it at once."""
    partly = output.with_name(f"{output.name}.partly")
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(path.open("rb")) for path in files]
        out = stack.enter_context(partly.open("wb"))
        for owner, begin in zip(owners, begins):
            opened[owner].seek(begin)
            out.write(opened[owner].readline())
    partly.rename(output)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Says in one line that a file cannot be used, and why."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or path}: {error.strerror}") from None
