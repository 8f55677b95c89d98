"""A screen for near-duplicates: the same photo twice would sit on both sides of a split.

An image's fingerprint is the signs of the 255 lowest frequencies of its brightness, a 16x16 corner
of a discrete cosine transform; compression, size and exposure hardly move it. Mirroring negates
the odd horizontal frequencies, so mirrored copies are found from the same fingerprints. Source of
the idea: Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from data_pipelines import loader

# Bits of 255. Measured on 5,853 adults of UTKFace: 146 pairs within 48, nearly all of them the
# same photo; from 56 on different people appear; unrelated photos differ in 100 to 155.
DISTANCE = 48
# It depends on the network. Measured with a MobileFaceNet (CASIA-WebFace) on the same photos, of
# which fingerprints pair 157: 317 pairs from .95 on; 1,942 from .9 on are too many for twins.
COSINE = 0.95
_SIDE, _LOW = 32, 16
_MIRROR = np.packbits(np.tile(np.arange(_LOW) % 2 == 1, (_LOW, 1))).view(np.uint64)
_BATCH = 256  # images read at once
_BLOCK = 1024  # fingerprints compared at once, squared


class Screen(NamedTuple):
    """What a screen found.

    Attributes:
      kept: (m,) int64 sorted rows; of each group of near-duplicates the first, and none of a group
        that lies on more than one side.
      dropped: {row: reason} of every other image: which key it repeats, or why it cannot be read.
    """

    kept: np.ndarray
    dropped: dict[int, str]


def screen(
    source: Any,
    *,
    sides: np.ndarray | None = None,
    distance: int = DISTANCE,
    embed: Callable[[np.ndarray], np.ndarray] | None = None,
    cosine: float = COSINE,
    workers: int = 0,
) -> Screen:
    """Finds near-duplicates in a source; every pair is compared, so time grows with n squared.

    Args:
      source: random-access source with `keys`.
      sides: (n,) integers: members' images 1 and the others' 0, say. An image with a copy on
        another side is dropped on both, so that the screen does not favour either.
      distance: bits that fingerprints of near-duplicates differ in at most.
      embed: (B, 112, 112, 3) uint8 images to (B, D) embeddings of a network that never saw the
        members. The audited model would drop images by whether they are members.
      cosine: of the embeddings of near-duplicates, at least.
      workers: Grain worker processes.
    """
    batches = loader.batches(source, _BATCH, workers=workers, keep_bad=True)
    prints, vectors, rows, dropped = [], [], [], {}
    for batch in tqdm(batches, "fingerprints", len(batches), unit="batch"):
        images = batch["image"][batch["_mask"]]
        rows.append(batch["index"][batch["_mask"]])
        prints.append(fingerprints(images))
        if embed is not None and len(images):
            vectors.append(embed(images))
        dropped |= {int(row): why for row, why in zip(batch["index"], batch["error"]) if why}
    rows, prints = np.concatenate(rows), np.concatenate(prints)
    near = pairs(prints, distance)
    if embed is not None:
        near = itertools.chain(near, close(np.concatenate(vectors), cosine))
    first = groups(len(rows), near)
    sides = np.zeros(len(rows), int) if sides is None else np.asarray(sides)[rows]
    across = np.isin(first, np.unique(first[sides != sides[first]]))
    keys = source.keys
    for i in np.flatnonzero(across | (first != np.arange(len(rows)))):
        other = first[i] if first[i] != i else np.flatnonzero(first == i)[1]
        dropped[int(rows[i])] = f"repeats {keys[rows[other]]}"
    return Screen(np.setdiff1d(rows, list(dropped)), dropped)


def fingerprints(images: np.ndarray) -> np.ndarray:
    """(B, 4) uint64 fingerprints of (B, H, W, 3) uint8 RGB images."""
    low = np.zeros((len(images), _LOW, _LOW), np.float32)
    for row, image in zip(low, images):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        row[:] = cv2.dct(small.astype(np.float32))[:_LOW, :_LOW]
    low[:, 0, 0] = 0  # the mean brightness says nothing
    return np.packbits(low.reshape(len(low), -1) > 0, axis=1).view(np.uint64)


def pairs(prints: np.ndarray, distance: int = DISTANCE) -> Iterator[tuple[int, int]]:
    """Yields the (i, j), i < j, whose images are alike as they are or mirrored.

    Args:
      prints: (n, 4) uint64, from `fingerprints`.
      distance: bits.
    """
    for begin in range(0, len(prints), _BLOCK):
        block = prints[begin : begin + _BLOCK, None]
        for other in range(begin, len(prints), _BLOCK):
            across = prints[None, other : other + _BLOCK]
            near = _differing(block, across) <= distance
            near |= _differing(block, across ^ _MIRROR) <= distance
            for i, j in np.argwhere(near) + (begin, other):
                if i < j:
                    yield int(i), int(j)


def close(vectors: np.ndarray, cosine: float) -> Iterator[tuple[int, int]]:
    """Yields the (i, j), i < j, of which the (n, D) vectors have at least that cosine."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for begin in range(0, len(units), _BLOCK):
        near = units[begin : begin + _BLOCK] @ units[begin:].T >= cosine
        for i, j in np.argwhere(near) + begin:
            if i < j:
                yield int(i), int(j)


def groups(n: int, near: Iterable[tuple[int, int]]) -> np.ndarray:
    """(n,) the first row of each row's group; pairs that share an image are one group."""
    first = np.arange(n)

    def root(row: int) -> int:
        while first[row] != row:
            first[row] = first[first[row]]
            row = first[row]
        return row

    for i, j in near:
        low, high = sorted((root(i), root(j)))
        first[high] = low
    return np.array([root(row) for row in range(n)], np.int64)


def _differing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.bitwise_count(a ^ b).sum(-1, dtype=np.uint16)
