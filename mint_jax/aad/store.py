"""A store of activations of a whole database, which an extraction fills shard by shard.

A store is a folder, or a prefix in a bucket:

    store.json          what it holds: audited model, source, layers, reduction, type, shards
    LAYER/              a Zarr v3 array (rows, *shape) of sharded chunks, for each layer
    done/SHARD.json     the completion mark of a shard, with its bad rows

A shard is a range of rows that is written whole, by one process, before its mark; a shard without
a mark counts as not there. Chunks are not compressed: activations behind a PReLU are hardly ever
zero, Zstandard takes 8% off a float32 map and 22% off a bfloat16 one at a quarter of the speed,
and compressed bytes would change with the version of the library. A checksum guards each chunk.
"""

import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from mint_jax.aad.extractor import dtype_of
from mint_jax.errors import InputError

_SHARD_BYTES = 64 << 20  # of the largest layer, at most
_SHARD_ROWS = 4096  # at most: what a kill costs, and two shards of maxima are held in memory
_CHUNK_BYTES = 64 << 10  # what reading a single row costs
_RECORD = "store.json"
_IDENTITY = {
    "model_sha256": "another audited model",
    "source_fingerprint": "other images, or images prepared otherwise",
    "rows": "another number of images",
    "reduce": "another reduction",
    "layers": "other layers",
    "dtype": "another type",
    "per_device_batch": "another per_device_batch, which may change the last bits",
}


class Store:
    """Activations of the images of a source; made by `open_store` and `create_or_open_store`.

    Attributes:
      base: folder or URL.
      model_name, model_sha256: of the audited model.
      source_fingerprint: of the source.
      rows: how many images the source has.
      layers: {layer: shape of one image's activations}.
      reduce: "max" or "map", as in `make_extractor`.
      dtype: "float32" or "bfloat16", as it is stored.
      shard_rows: rows of a shard; the last one may have fewer.
    """

    def __init__(self, base: str | Path, kvstore: ts.KvStore, record: Mapping[str, Any]):
        self.base, self._kvstore = str(base), kvstore
        self.model_name: str = record["model_name"]
        self.model_sha256: str = record["model_sha256"]
        self.source_fingerprint: str = record["source_fingerprint"]
        self.rows: int = record["rows"]
        self.layers = {layer: tuple(shape) for layer, shape in record["layers"].items()}
        self.reduce: str = record["reduce"]
        self.dtype: str = record["dtype"]
        self.shard_rows: int = record["shard_rows"]
        self._done = self._read_marks()

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.rows // self.shard_rows)

    @property
    def complete(self) -> bool:
        """Whether every shard was there when this process last looked."""
        return len(self._done) == self.shards

    @property
    def bad(self) -> dict[int, tuple[str, str]]:
        """{row: (key, reason)} of images that could not be read; their rows are zeros."""
        marks = (self._done[shard] for shard in sorted(self._done))
        return {row: (key, reason) for mark in marks for row, key, reason in mark}

    def pending(self, process_index: int = 0, process_count: int = 1) -> list[int]:
        """Shards of a process that are not there yet; shard k is of process k % process_count."""
        own = range(process_index, self.shards, process_count)
        return [shard for shard in own if shard not in self._done]

    def span(self, shard: int) -> tuple[int, int]:
        """First row of a shard, and the row behind its last."""
        return shard * self.shard_rows, min((shard + 1) * self.shard_rows, self.rows)

    def read(self, layer: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Activations of some images.

        Args:
          layer: one of `layers`.
          rows: (m,) of the source, in any order.

        Returns:
          (m, *shape) float32.

        Raises:
          InputError: an unknown layer or row, rows that were not extracted yet, or damaged data.
        """
        rows = np.asarray(rows, np.int64)
        if layer not in self.layers:
            raise InputError(f"{self.base}: no layer {layer!r}; it has {', '.join(self.layers)}")
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.rows:
            raise InputError(f"{self.base}: rows {rows.min()} to {rows.max()} of {self.rows}")
        missing = set(np.unique(rows // self.shard_rows).tolist()) - set(self._done)
        if missing:
            begin, end = self.span(min(missing))
            raise InputError(
                f"{self.base}: rows {begin} to {end - 1} are not extracted yet; "
                "experiments.extract goes on where it was stopped"
            )
        found = _wait(self.base, "read", self._arrays[layer][rows].read())
        return np.asarray(found, np.float32)

    def _read_marks(self) -> dict[int, list]:
        """{shard: [[row, key, reason] of its bad rows]} of all complete shards."""
        found = _wait(self.base, "read", self._kvstore.list(range=_prefix("done/")))
        reads = {key: self._kvstore.read(key) for key in found}
        marks = (_parse(self.base, key, _wait(self.base, "read", f)) for key, f in reads.items())
        return {mark["shard"]: mark["bad"] for mark in marks}

    @functools.cached_property
    def _arrays(self) -> dict[str, ts.TensorStore]:
        """{layer: array}; those that do not exist are made."""
        opening = {
            layer: ts.open(self._spec(layer), open=True, create=True, context=_context())
            for layer in self.layers
        }
        return {layer: _wait(self.base, "opened", future) for layer, future in opening.items()}

    def _spec(self, layer: str) -> dict:
        shape = self.layers[layer]
        row_bytes = dtype_of(self.dtype).itemsize * math.prod(shape)
        chunk_rows = self.shard_rows
        while chunk_rows % 2 == 0 and chunk_rows * row_bytes > _CHUNK_BYTES:
            chunk_rows //= 2
        sharding = {
            "chunk_shape": [chunk_rows, *shape],
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "crc32c"},
            ],
        }
        grid = {"name": "regular", "configuration": {"chunk_shape": [self.shard_rows, *shape]}}
        return {
            "driver": "zarr3",
            "kvstore": (self._kvstore / f"{layer}/").spec().to_json(),
            "metadata": {
                "shape": [self.rows, *shape],
                "data_type": self.dtype,
                "chunk_grid": grid,
                "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            },
            # Zeros are written like everything else, so that a file that was lost is an error.
            "store_data_equal_to_fill_value": True,
            "fill_missing_data_reads": False,
        }

    def _clear(self, shard: int) -> None:
        """Removes what a killed process left of a shard.

        TensorStore would read the remains of a last, shorter shard before it writes it again.
        """
        places = [f"{layer}/c/{shard}/" for layer in self.layers] + [_mark(shard)]
        _wait_all(self.base, [self._kvstore.delete_range(_prefix(place)) for place in places])

    def _sweep(self) -> None:
        """Removes temporary files of killed processes; when all is done nobody writes any more."""
        places = [_RECORD] + [f"{layer}/zarr.json" for layer in self.layers]
        _wait_all(self.base, [self._kvstore.delete_range(_prefix(f"{p}_")) for p in places])


class Writer:
    """Fills the shards of a store one after the other; each is written while the next is computed.

    At most two shards are held in memory.
    """

    def __init__(self, store: Store):
        self._store = store
        self._filling: _Shard | None = None
        self._writing: tuple[_Shard, list] | None = None

    def add(
        self,
        rows: np.ndarray,
        values: Mapping[str, np.ndarray],
        bad: Mapping[int, tuple[str, str]],
    ) -> None:
        """Takes some rows of one shard; the shards of a process follow each other.

        Args:
          rows: (m,) of images that could be read.
          values: {layer: (m, *shape)}.
          bad: {row: (key, reason)} of images that could not.

        Raises:
          InputError: the store cannot be written; the shard before this one may be the reason.
        """
        if self._filling is None:
            first = min([*rows.tolist(), *bad])
            self._filling = _Shard(self._store, first // self._store.shard_rows)
        self._filling.add(rows, values, bad)
        if not self._filling.missing:
            self._finish_writing()
            self._writing = self._filling, self._filling.write()
            self._filling = None

    def close(self) -> None:
        """Waits for the last shard.

        Raises:
          InputError: the store cannot be written.
        """
        self._finish_writing()
        self._store._done = self._store._read_marks()  # other processes have written theirs
        if self._store.complete:
            self._store._sweep()

    def _finish_writing(self) -> None:
        if self._writing is not None:
            shard, futures = self._writing
            self._writing = None
            _wait_all(self._store.base, futures)
            shard.mark()


class _Shard:
    """The rows of a shard before they are written."""

    def __init__(self, store: Store, number: int):
        self._store, self._number = store, number
        self._begin, self._end = store.span(number)
        self.missing = self._end - self._begin
        self._bad: dict[int, tuple[str, str]] = {}
        self._values = {
            layer: np.zeros((self.missing, *shape), dtype_of(store.dtype))
            for layer, shape in store.layers.items()
        }

    def add(self, rows: np.ndarray, values: Mapping, bad: Mapping) -> None:
        for layer, array in self._values.items():
            array[rows - self._begin] = values[layer]
        self._bad.update(bad)
        self.missing -= len(rows) + len(bad)

    def write(self) -> list[ts.Future]:
        """Starts to write the arrays."""
        self._store._clear(self._number)
        return [
            self._store._arrays[layer][self._begin : self._end].write(
                values, can_reference_source_data_indefinitely=True
            )
            for layer, values in self._values.items()
        ]

    def mark(self) -> None:
        """States that the shard is there, when its arrays are."""
        bad = [[row, *self._bad[row]] for row in sorted(self._bad)]
        mark = {"shard": self._number, "bad": bad}
        _write_json(self._store.base, self._store._kvstore, _mark(self._number), mark)


def open_store(base: str | Path) -> Store:
    """Opens a store to read it.

    Args:
      base: a folder, or a URL that TensorStore knows: `file://`, `gs://`, `s3://`, or `memory://`,
        which is gone when the process ends.

    Raises:
      InputError: there is no store, or it cannot be read.
    """
    kvstore = _open_kvstore(base)
    record = _read_record(base, kvstore)
    if record is None:
        raise InputError(f"{base}: no store of activations: {_RECORD} is missing")
    return Store(base, kvstore, record)


def create_or_open_store(
    base: str | Path,
    *,
    model_sha256: str,
    model_name: str,
    source_fingerprint: str,
    rows: int,
    layers: Mapping[str, Sequence[int]],
    reduce: str,
    dtype: str = "float32",
    per_device_batch: int = 1,
    devices: int = 1,
    shard_bytes: int = _SHARD_BYTES,
) -> Store:
    """Opens a store to fill it; makes it where it does not exist.

    Args:
      base: as in `open_store`.
      model_sha256, model_name: of the audited model.
      source_fingerprint: of the source.
      rows: images of the source.
      layers: {layer: shape of one image's activations}.
      reduce: "max" or "map".
      dtype: "float32" or "bfloat16".
      per_device_batch, devices: of the extraction. A new store has shards of their product times a
        power of two; one that exists keeps its own, and may be filled on another number of devices.
      shard_bytes: size of a new store's shard of the largest layer, at most.

    Raises:
      InputError: the store holds something else (says what), an unknown type, or it cannot be
        read or written.
    """
    itemsize = dtype_of(dtype).itemsize
    wanted = {
        "model_sha256": model_sha256,
        "source_fingerprint": source_fingerprint,
        "rows": rows,
        "layers": {layer: list(shape) for layer, shape in layers.items()},
        "reduce": reduce,
        "dtype": dtype,
        "per_device_batch": per_device_batch,
    }
    kvstore = _open_kvstore(base)
    record = _read_record(base, kvstore)
    if record is None:
        largest = itemsize * max(map(math.prod, wanted["layers"].values()))
        record = {
            "model_name": model_name,
            **wanted,
            "shard_rows": _shard_rows(
                per_device_batch * devices, min(_SHARD_ROWS, shard_bytes // largest)
            ),
        }
        _write_json(base, kvstore, _RECORD, record)
    for key, other in _IDENTITY.items():
        if record[key] != wanted[key]:
            raise InputError(f"{base}: a store of {other}: {record[key]}, not {wanted[key]}")
    store = Store(base, kvstore, record)
    if store.complete:
        store._sweep()
    return store


def _shard_rows(batch: int, most: int) -> int:
    """The largest power of two times `batch` that is at most `most`, and at least `batch`."""
    return batch << max(0, (most // batch).bit_length() - 1)


@functools.cache
def _context() -> ts.Context:
    """What all stores of this process share, so that `memory://` is one place.

    A shard has one writer, so locks are of no use, and a killed process would leave its lock file,
    into which TensorStore writes anew without cutting off what was there. Without locks a file is
    written under a name of its own and renamed.
    """
    return ts.Context({"file_io_locking": {"mode": "none"}})


def _open_kvstore(base: str | Path) -> ts.KvStore:
    if "://" in str(base):
        place = str(base) if str(base).endswith("/") else f"{base}/"
    else:
        place = {"driver": "file", "path": os.path.join(os.path.abspath(base), "")}
    try:
        return ts.KvStore.open(place, context=_context()).result()
    except ValueError as error:
        raise InputError(f"{base}: not a place for a store: {_line(error)}") from None


def _prefix(text: str) -> ts.KvStore.KeyRange:
    """All keys that begin with an ASCII text."""
    return ts.KvStore.KeyRange(text, text[:-1] + chr(ord(text[-1]) + 1))


def _mark(shard: int) -> str:
    return f"done/{shard:08d}.json"


def _read_record(base: str | Path, kvstore: ts.KvStore) -> dict | None:
    """What `store.json` says, or None where there is none."""
    found = _wait(base, "read", kvstore.read(_RECORD))
    if found.state == "missing":
        return None
    record = _parse(base, _RECORD.encode(), found)
    if not {"model_name", "shard_rows", *_IDENTITY} <= set(record):
        raise InputError(f"{base}: {_RECORD} does not describe a store of activations")
    return record


def _parse(base: str | Path, key: bytes, found: ts.KvStore.ReadResult) -> dict:
    try:
        return json.loads(found.value)
    except ValueError:
        raise InputError(f"{base}: {key.decode()} is damaged") from None


def _write_json(base: str | Path, kvstore: ts.KvStore, key: str, value: Mapping) -> None:
    _wait(base, "written", kvstore.write(key, json.dumps(value, indent=1).encode()))


def _wait(base: str | Path, done: str, future: ts.Future) -> Any:
    """The result of a future; a failure names the store in one line."""
    try:
        return future.result()
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"{base}: cannot be {done}: {_line(error)}") from None


def _wait_all(base: str | Path, futures: Sequence[ts.Future]) -> None:
    for future in futures:
        _wait(base, "written", future)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
