"""Trains populations of auditors with Optax: over seeds and training parts, on the same AAD.

An auditor's result depends on its own rows, seed and configuration: its batches, its
dropout and its early stopping are its own, whoever is trained beside it. Equal calls give
equal bits on one device; beside other auditors the last bits may differ where XLA batches
matrix products.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from mint_jax import parallel
from mint_jax.auditors import schedule
from mint_jax.auditors.cnn import CNN
from mint_jax.auditors.feed import Feed
from mint_jax.auditors.population import Population
from mint_jax.auditors.programs import OPTIMIZERS, initial_params, programs, together
from mint_jax.auditors.standardise import statistics
from mint_jax.auditors.vanilla import Vanilla
from mint_jax.errors import InputError

_ALIKE = 0.7  # of the longest epoch in a lot


@dataclass(frozen=True)
class FitConfig:
    """How an auditor is trained; the paper publishes none of it.

    Attributes:
      optimizer: one of `OPTIMIZERS`.
      learning_rate: constant.
      batch_size: rows in a step; the last step of an epoch may have fewer.
      epochs: at most.
      patience: epochs without a lower validation loss before an auditor stops.
      min_delta: by how much lower, in nats, a validation loss must be to count.
      resident_bytes: features up to this size, all layers together, live on the device; larger
        ones, and a `np.memmap` of any size, are handed over a few steps at a time.
    """

    optimizer: str = "adam"
    learning_rate: float = 3e-3
    batch_size: int = 64
    epochs: int = 100
    patience: int = 10
    min_delta: float = 1e-3
    resident_bytes: int = 1 << 30

    def __post_init__(self):
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"optimizer {self.optimizer!r} is none of {', '.join(OPTIMIZERS)}")


def fit_population(
    module: Vanilla | CNN,
    features: np.ndarray | dict[str, np.ndarray],
    labels: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    seeds: Sequence[int],
    config: FitConfig | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> Population:
    """Trains P auditors that read the same layers, each on its own rows with its own seed.

    Auditors with about equally many steps in an epoch run together, divided over the
    devices.

    Args:
      module: the auditor, with its layer.
      features: AAD of that layer, (n, C) or (n, H, W, C) float32; {layer: (n, H, W, C)} for a
        CNN that reads several. An array may be a `np.memmap`.
      labels: (n,) 1 = member; (P, n) where each auditor has labels of its own.
      train, validation: (P, n) bool; the rows in neither are not read.
      seeds: (P,) non-negative; of the initial weights, the order of batches and dropout.
      config: how to train.
      on_epoch: called after each epoch of each lot of auditors, for progress bars.

    Returns:
      The auditors at the epoch of their lowest validation loss.

    Raises:
      InputError: parts that overlap, lack a class or have the wrong shape, or AAD of another
        number of rows.
      FloatingPointError: a validation loss that is not finite.
    """
    config = config or FitConfig()
    members = schedule.parts(labels, train, validation, seeds)
    count = len(members[0].labels)
    for x in jax.tree.leaves(features):
        if len(x) != count:
            raise InputError(f"AAD of shape {x.shape} cannot belong to {count} labels")
    feed = Feed(features, members, config.batch_size, config.resident_bytes)
    results: list = [None] * len(members)
    for lot in _lots(members, config.batch_size, together(module)):
        fitted = _fit_lot(module, config, feed, [members[p] for p in lot], on_epoch)
        for p, result in zip(lot, fitted):
            results[p] = result
    variables, losses, epochs = zip(*results)
    shape = jax.tree.map(lambda x: tuple(x.shape[1:]), features)
    return Population(module, config, list(variables), np.array(losses), np.array(epochs), shape)


def _lots(members: list, batch_size: int, together: bool) -> list[list[int]]:
    """Indices of the auditors that run together: alike in steps, or as many as devices.

    An auditor that has fewer steps than its neighbours waits for them at the end of each
    epoch.
    """
    steps = [part.steps(batch_size) for part in members]
    width = len(members) if together else parallel.device_count()
    lots: list[list[int]] = []
    for p in sorted(range(len(members)), key=lambda p: -steps[p]):
        if lots and len(lots[-1]) < width and steps[p] >= _ALIKE * steps[lots[-1][0]]:
            lots[-1].append(p)
        else:
            lots.append([p])
    return lots


def _fit_lot(module, config, feed, lot, on_epoch) -> list:
    """[(variables, validation loss, epoch)] of auditors that run together."""
    run = programs(module, config.optimizer, config.learning_rate)
    padded = lot + [lot[-1]] * (-len(lot) % parallel.device_count())
    state = run.init(_start(module, feed, padded))
    stopping = _Stopping(len(padded), config.patience, config.min_delta)
    for _ in range(config.epochs):
        for arguments in feed.training(padded, stopping.epoch):
            jax.block_until_ready(state)  # or segments that wait would fill the memory
            state = run.train(state, *arguments)
        sums = (run.loss(state, *arguments) for arguments in feed.validation(padded))
        loss = sum(np.asarray(s, np.float64).reshape(-1) for s in sums)
        loss /= [len(part.validation) for part in padded]
        if not np.isfinite(loss).all():
            raise FloatingPointError(f"{module.layer}: validation loss {loss}")
        state = run.keep(state, parallel.shard(stopping.better(loss)))
        on_epoch()
        if stopping.done:
            break
    kept = {"params": state["best"], "normalisation": state["normalisation"]}
    kept = parallel.unshard(kept)
    return [
        (jax.tree.map(lambda x, p=p: x[p], kept), stopping.lowest[p], stopping.at[p])
        for p in range(len(lot))
    ]


def _start(module, feed, lot) -> dict:
    """Seeds, normalisation and initial parameters of the auditors, on their devices."""
    drawn = [initial_params(module, feed.example, part.seed) for part in lot]
    params = jax.tree.map(lambda *x: np.stack(x), *drawn)
    start = {
        "seed": np.array([part.seed for part in lot], np.uint32),
        "normalisation": {"input": feed.statistics(lot, statistics)},
        "params": params,
        "best": params,
    }
    return parallel.shard(start)


class _Stopping:
    """Early stopping of several auditors, each by its own validation loss."""

    def __init__(self, count: int, patience: int, min_delta: float):
        self.epoch = 1  # the one that is under way
        self.lowest, self.at = np.full(count, np.inf), np.zeros(count, int)
        self._patience, self._min_delta = patience, min_delta

    def better(self, loss: np.ndarray) -> np.ndarray:
        """Ends the epoch; says which auditors now have their lowest loss."""
        running = self.epoch - self.at <= self._patience
        better = running & (loss < self.lowest - self._min_delta)
        self.lowest = np.where(better, loss, self.lowest)
        self.at = np.where(better, self.epoch, self.at)
        self.epoch += 1
        return better

    @property
    def done(self) -> bool:
        return bool((self.epoch - self.at > self._patience).all())
