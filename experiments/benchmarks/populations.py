"""All auditors of a Table 1 or 2 as populations, beside loops that train one at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.benchmarks.races import Figure, Peer, Race, cores, rate, torch_peer
from mint_jax.auditors import CNN, FitConfig, Vanilla, fit_population

WIDTHS = {"conv1": 64, "conv2": 128, "conv3": 256, "conv4": 512, "outcome": 512, "all_conv": 960}
MAXIMA = {layer: (width,) for layer, width in WIDTHS.items()}
MAPS = {"conv1": (14, 14, 16), "conv2": (7, 7, 32), "conv3": (4, 4, 64), "conv4": (2, 2, 128)}
_TABLES = {"vanilla": "Table 1", "cnn": "Table 2"}
_VALIDATION = 0.2  # of the samples


def population(
    auditor: type[Vanilla] | type[CNN] = Vanilla,
    shapes: Mapping[str, Sequence[int]] = MAXIMA,
    sizes: Sequence[int] = (250, 500, 1000),
    seeds: int = 10,
    epochs: int = 3,
    goal: float | None = None,
) -> Race:
    """The cells of the table, `seeds` auditors each; loops train one auditor of each cell.

    All auditors of a layer share its activations.

    Args:
      auditor: Table 1 is that of `Vanilla`, Table 2 that of `CNN`.
      shapes: {layer: shape of an image's activations}; `MAPS` are those of the embedded network.
      sizes: numbers of samples.
      seeds: auditors a cell.
      epochs: of training.
      goal: how many times as fast as PyTorch.
    """
    config = FitConfig(epochs=epochs, patience=epochs)
    features, labels = samples(shapes, max(sizes))
    train, validation = parts(sizes, len(labels))

    def fit(layer: str, sizes: Sequence[int], seeds: Sequence[int]) -> None:
        """Auditors of a layer, `seeds` of each of the rows `sizes` of the parts."""
        masks = (np.repeat(part[sizes], len(seeds), axis=0) for part in (train, validation))
        own = [*seeds] * len(sizes)
        fit_population(auditor(layer), features[layer], labels, *masks, own, config)

    def together() -> None:
        for layer in shapes:
            fit(layer, range(len(sizes)), range(seeds))

    def each(single: Callable[[str, int], Any]) -> Figure:
        cells = [(layer, size) for layer in shapes for size in range(len(sizes))]
        return rate(lambda: [single(*cell) for cell in cells], len(cells))

    def in_torch(torch_peers: Any) -> Figure:
        torch_peers.torch.set_num_threads(cores())
        return each(
            lambda layer, size: torch_peers.fit(
                *(auditor(layer), features[layer], labels),
                *(train[size], validation[size], 0, config),
            )
        )

    count = len(shapes) * len(sizes) * seeds
    cells = f"{len(shapes)} layers x sizes {', '.join(map(str, sizes))} x {seeds} seeds"
    words = f"{_TABLES[auditor.kind]} of {cells}, {epochs} epochs; loops: a seed of each cell"
    peers = [
        torch_peer("a loop of fits in PyTorch", in_torch, goal),
        Peer(
            "a loop of fits in JAX",
            each(lambda layer, size: fit(layer, [size], [0])),
            suffix="_loop",
        ),
    ]
    return Race(words, "auditors/s", count, rate(together, count), peers, turns=3)


def samples(
    shapes: Mapping[str, Sequence[int]], count: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """{layer: (count, *shape) float32} in which members are a little apart, and labels (count,)."""
    rng, labels = np.random.default_rng(0), np.arange(count) % 2
    shift = np.float32(0.1) * labels.astype(np.float32)
    drawn = {
        name: rng.standard_normal((count, *shape), np.float32) for name, shape in shapes.items()
    }
    return {layer: (x.T + shift).T for layer, x in drawn.items()}, labels


def parts(sizes: Sequence[int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """(sizes, count) bool: the rows that train, and those that watch."""
    begin = np.round(np.array(sizes) * (1 - _VALIDATION)).astype(int)[:, None]
    row = np.arange(count)
    return row < begin, (row >= begin) & (row < np.array(sizes)[:, None])
