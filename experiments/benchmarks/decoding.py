"""Batches out of a pack of JPEG files, beside their decoding alone."""

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_pipelines import loader
from data_pipelines.recordio import RecordIOSource
from experiments.benchmarks import packs
from experiments.benchmarks.races import Figure, Peer, Race, check_same, cores, rate, torch_peer


def input_decode(folder: Path, count: int = 4000, batch: int = 64) -> Race:
    """The loader, whose threads are as many as the cores, beside OpenCV and PyTorch's loader."""
    encoded = list(packs.faces(count))
    source = RecordIOSource(packs.write(folder / f"pack{count}", iter(encoded), count))

    def ours() -> np.ndarray:
        with contextlib.closing(loader.batches(source, batch)) as batches:
            first = next(batches)["image"]
            deque(batches, maxlen=0)
        return first

    check_same(ours(), np.stack([*_decoded(encoded[:batch])]), "OpenCV", tolerance=0)
    shares = [encoded[thread :: cores()] for thread in range(cores())]
    threads = ThreadPoolExecutor(cores())

    def in_torch(torch_peers: Any) -> Figure:
        return rate(torch_peers.loading(encoded, batch, cores()), count / cores())

    words = f"images a core, out of a pack of {count:,} JPEG files of 112x112"
    alone = rate(lambda: list(threads.map(_exhaust, shares)), count / cores())
    peers = [
        Peer(f"cv2.imdecode, {cores()} threads", alone, 0.8),
        torch_peer(f"torch DataLoader, {cores()} processes", in_torch, suffix="_torch"),
    ]
    return Race(words, "images/s", count, rate(ours, count / cores()), peers)


def _decoded(encoded: Sequence[bytes]) -> Iterator[np.ndarray]:
    for data in encoded:
        yield cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def _exhaust(encoded: Sequence[bytes]) -> None:
    deque(_decoded(encoded), maxlen=0)
