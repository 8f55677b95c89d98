"""All Vanilla auditors of a Table 1 as populations, beside loops that train one at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.benchmarks.races import Figure, Peer, Race, cores, rate, torch_peer
from mint_jax.auditors import FitConfig, Vanilla, fit_population

WIDTHS = {"conv1": 64, "conv2": 128, "conv3": 256, "conv4": 512, "outcome": 512, "all_conv": 960}
_VALIDATION = 0.2  # of the samples


def population(
    widths: Mapping[str, int] = WIDTHS,
    sizes: Sequence[int] = (250, 500, 1000),
    seeds: int = 10,
    epochs: int = 3,
) -> Race:
    """The cells of the table, `seeds` auditors each; loops train one auditor of each cell."""
    config = FitConfig(epochs=epochs, patience=epochs)
    features, labels = samples(widths, max(sizes))
    train, validation = parts(sizes, len(labels))

    def fit(layer: str, sizes: Sequence[int], seeds: Sequence[int]) -> None:
        """Auditors of a layer, `seeds` of each of the rows `sizes` of the parts."""
        masks = (np.repeat(part[sizes], len(seeds), axis=0) for part in (train, validation))
        own = [*seeds] * len(sizes)
        fit_population(Vanilla(layer), features[layer], labels, *masks, own, config)

    def together() -> None:
        for layer in widths:
            fit(layer, range(len(sizes)), range(seeds))

    def each(single: Callable[[str, int], Any]) -> Figure:
        cells = [(layer, size) for layer in widths for size in range(len(sizes))]
        return rate(lambda: [single(*cell) for cell in cells], len(cells))

    def in_torch(torch_peers: Any) -> Figure:
        torch_peers.torch.set_num_threads(cores())
        return each(
            lambda layer, size: torch_peers.fit(
                *(Vanilla(layer), features[layer], labels),
                *(train[size], validation[size], 0, config),
            )
        )

    count = len(widths) * len(sizes) * seeds
    words = (
        f"Table 1 of {len(widths)} layers x sizes {', '.join(map(str, sizes))} x {seeds} seeds, "
        f"{epochs} epochs; loops: a seed of each cell"
    )
    peers = [
        torch_peer("a loop of fits in PyTorch", in_torch, 10.0),
        Peer(
            "a loop of fits in JAX",
            each(lambda layer, size: fit(layer, [size], [0])),
            suffix="_loop",
        ),
    ]
    return Race(words, "auditors/s", count, rate(together, count), peers, turns=3)


def samples(widths: Mapping[str, int], count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """{layer: (count, width) float32} in which members are a little apart, and labels (count,)."""
    rng, labels = np.random.default_rng(0), np.arange(count) % 2
    shift = np.float32(0.1) * labels[:, None].astype(np.float32)
    drawn = {
        name: rng.standard_normal((count, width), np.float32) for name, width in widths.items()
    }
    return {layer: x + shift for layer, x in drawn.items()}, labels


def parts(sizes: Sequence[int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """(sizes, count) bool: the rows that train, and those that watch."""
    begin = np.round(np.array(sizes) * (1 - _VALIDATION)).astype(int)[:, None]
    row = np.arange(count)
    return row < begin, (row >= begin) & (row < np.array(sizes)[:, None])
