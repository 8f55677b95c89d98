"""Generated RecordIO packs of 112x112 JPEG files in the layout of InsightFace's training sets."""

import functools
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data_pipelines import images
from data_pipelines.alignment import SIZE
from data_pipelines.databases.synthetic_faces import SyntheticFaces

_PEOPLE, _EACH = 500, 4  # rendered faces, which a larger pack repeats, each time as another JPEG
_CELLS = 8  # along a side of a texture


def write(folder: Path, jpegs: Iterator[bytes], size: int, each: int = 40) -> Path:
    """A training set of `size` images, `each` of a person: record 0, images, records of persons.

    Returns:
      the prefix of its files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    people = -(-size // each)
    offsets = []
    with open(folder / "train.rec", "wb") as file:

        def add(labels: Sequence[float], payload: bytes) -> None:
            offsets.append(file.tell())
            file.write(record(len(offsets) - 1, labels, payload))

        add((size + 1, size + 1 + people), b"")
        for row, jpeg in enumerate(tqdm(jpegs, f"writing {folder.name}", size, leave=False)):
            add((row // each,), jpeg)
        for person in range(people):
            last = min((person + 1) * each, size)
            add((person * each + 1, last + 1), b"")
    lines = (f"{key}\t{offset}\n" for key, offset in enumerate(offsets))
    (folder / "property").write_text(f"{people},112,112")
    (folder / "train.idx").write_text("".join(lines))
    return folder / "train"


def record(key: int, labels: Sequence[float], payload: bytes) -> bytes:
    """A record with one label, or with several and a flag that counts them."""
    flag, label = (0, labels[0]) if len(labels) == 1 else (len(labels), 0)
    more = np.float32(labels).tobytes() if flag else b""
    data = struct.pack("<IfQQ", flag, label, key, 0) + more + payload
    return struct.pack("<II", 0xCED7230A, len(data)) + data + bytes(-len(data) % 4)


def faces(size: int) -> Iterator[bytes]:
    """`size` JPEG files of rendered faces, no two alike."""
    rng = np.random.default_rng(0)
    for row in range(size):
        face = _face(row % (_PEOPLE * _EACH))
        moved = np.roll(face, rng.integers(-3, 4, 2), axis=(0, 1)).astype(np.int16)
        light = np.clip(moved + rng.integers(-20, 21), 0, 255).astype(np.uint8)
        yield images.encode_jpeg(light, int(rng.integers(80, 98)))


def textures(size: int, seed: int) -> Iterator[bytes]:
    """`size` JPEG files of smooth colours, so unlike that no screen takes two for one."""
    rng = np.random.default_rng(seed)
    for _ in range(size):
        cells = rng.integers(0, 256, (_CELLS, _CELLS, 3), np.uint8)
        yield images.encode_jpeg(cv2.resize(cells, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), 90)


@functools.cache
def _face(row: int) -> np.ndarray:
    return SyntheticFaces("studio", 1, _PEOPLE, _EACH)[row]["image"]
