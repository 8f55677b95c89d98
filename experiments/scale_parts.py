"""What a large database costs besides forward passes, each part timed in a process of its own."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import audit_set, duplicates, loader, recordio_index
from data_pipelines.recordio import RecordIOSource
from experiments import score_files
from mint_jax.auditors import cosines

_BATCH = 64
_EACH = 47  # images of a person, as in Glint360K
QUERIES, WIDTH = 1000, 512  # of a search
_NEAREST = 20

Work = Callable[[], object]


def run(part: str, pack: str, size: str, folder: str) -> None:
    """Prints the seconds that a part takes once it is prepared.

    Args:
      part: one of `PARTS`.
      pack: prefix of a RecordIO pack.
      size: its images.
      folder: for files.
    """
    work = PARTS[part](Path(pack), int(size), Path(folder))
    begin = time.perf_counter()
    work()
    print(time.perf_counter() - begin)


def _open(pack: Path, size: int, folder: Path) -> Work:
    """Reads the index of a pack."""
    return lambda: RecordIOSource(pack)


def _read(pack: Path, size: int, folder: Path) -> Work:
    """Reads and decodes every image, in threads on all cores."""
    source = RecordIOSource(pack)

    def read() -> int:
        with contextlib.closing(loader.batches(source, _BATCH)) as batches:
            return sum(int(batch["_mask"].sum()) for batch in batches)

    return read


def _fetch(pack: Path, size: int, folder: Path) -> Work:
    """Reads the bytes of every image in one thread.

    Decoding leaves Python's lock to other threads; this is the part that does not, so no number of
    cores makes a process faster.
    """
    source = RecordIOSource(pack)
    return lambda: sum(len(source.encoded(row)) for row in range(size))


def _labels(pack: Path, size: int, folder: Path) -> Work:
    """Reads who is on every image."""
    source = RecordIOSource(pack)
    return lambda: source.identities


def _scan(pack: Path, size: int, folder: Path) -> Work:
    """Finds the records of a pack whose index is lost."""
    file = recordio_index.RecordFile(pack.with_suffix(".rec"))
    return lambda: recordio_index.scan(file)


def _merge(pack: Path, size: int, folder: Path) -> Work:
    """Takes up the lines of a scoring that was complete."""
    keys, output = RecordIOSource(pack).keys, folder / "scores.jsonl"
    with output.open("w") as file:
        for key in keys:
            line = {"image": key, "sha256": "0" * 64, "score": 0.5, "error": None}
            file.write(json.dumps(line) + "\n")
    return lambda: score_files.merge(output, keys)


def _split(pack: Path, size: int, folder: Path) -> Work:
    """Cuts an audit set into parts that share nobody."""
    identities = np.arange(size) // _EACH
    parts = {"bank": 0.25, "train": 0.5, "test": 0.25}
    return lambda: audit_set.split(identities, parts, seed=0)


def _compare(pack: Path, size: int, folder: Path) -> Work:
    """Compares fingerprints, each with each, in the screen for near-duplicates."""
    prints = np.random.default_rng(0).integers(0, 2**64, (size, 4), np.uint64)
    return lambda: sum(1 for _ in duplicates.pairs(prints))


def _search(pack: Path, size: int, folder: Path) -> Work:
    """Searches a bank of as many embeddings for a thousand others."""
    draws = np.random.default_rng(0)
    bank, queries = (
        cosines.unit(jnp.asarray(draws.standard_normal((n, WIDTH), np.float32)))
        for n in (size, QUERIES)
    )
    program = jax.jit(lambda q, b: cosines.cosine_statistics(q, b, _NEAREST))
    search = program.lower(queries, bank).compile()
    return lambda: jax.block_until_ready(search(queries, bank))


PARTS: Mapping[str, Callable[[Path, int, Path], Work]] = {
    "open": _open,
    "read": _read,
    "fetch": _fetch,
    "labels": _labels,
    "scan": _scan,
    "merge": _merge,
    "split": _split,
    "compare": _compare,
    "search": _search,
}
