"""Trains populations of auditors with Optax: over seeds and training parts, on the same AAD.

An auditor's result depends on its own rows, seed and configuration: its batches, its
dropout and its early stopping are its own, whoever is trained beside it. Equal calls give
equal bits on one device; beside other auditors the last bits may differ where XLA batches
matrix products, and where several processes add up the gradients of one auditor.
"""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mint_jax import parallel, preemption
from mint_jax.auditors import placement, schedule
from mint_jax.auditors.cnn import CNN
from mint_jax.auditors.division import Rows, Whole
from mint_jax.auditors.feed import Feed
from mint_jax.auditors.population import Population
from mint_jax.auditors.programs import OPTIMIZERS, initial_params, programs, together
from mint_jax.auditors.progress import Checkpoints, Progress
from mint_jax.auditors.standardise import statistics
from mint_jax.auditors.vanilla import Vanilla
from mint_jax.errors import InputError

OnEpoch = Callable[[Sequence[int], int, np.ndarray], None]

_LOG = logging.getLogger(__name__)

_ALIKE = 0.7  # of the longest epoch in a lot
_SAMPLE = 64  # rows of AAD by which checkpoints know what they were trained on


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
      place: where the features live, one of `placement.PLACES`; None lets `placement.choose`
        say. Results do not depend on it.
    """

    optimizer: str = "adam"
    learning_rate: float = 3e-3
    batch_size: int = 64
    epochs: int = 100
    patience: int = 10
    min_delta: float = 1e-3
    place: str | None = None

    def __post_init__(self):
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"optimizer {self.optimizer!r} is none of {', '.join(OPTIMIZERS)}")
        if self.place not in (None, *placement.PLACES):
            raise InputError(f"place {self.place!r} is none of {', '.join(placement.PLACES)}")


def fit_population(
    module: Vanilla | CNN,
    features: np.ndarray | dict[str, np.ndarray],
    labels: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    seeds: Sequence[int],
    config: FitConfig | None = None,
    *,
    on_epoch: OnEpoch = lambda auditors, epoch, losses: None,
    workdir: str | Path | None = None,
) -> Population:
    """Trains P auditors that read the same layers, each on its own rows with its own seed.

    Auditors with about equally many steps in an epoch run together, divided over the
    devices; several processes, which all make the same call, divide the auditors, or the
    rows of each batch where there are fewer auditors than processes.

    Args:
      module: the auditor, with its layer.
      features: AAD of that layer, (n, C) or (n, H, W, C) float32; {layer: (n, H, W, C)} for a
        CNN that reads several. An array may be a `np.memmap`, or anything else that is read by
        its rows.
      labels: (n,) 1 = member; (P, n) where each auditor has labels of its own.
      train, validation: (P, n) bool; the rows in neither are not read.
      seeds: (P,) non-negative; of the initial weights, the order of batches and dropout.
      config: how to train.
      on_epoch: called after each epoch of a lot with the numbers of its auditors, the epoch
        and their validation losses; of those that this process trains.
      workdir: folder for checkpoints, now and then and at SIGTERM, from which the same call
        goes on, by any number of processes that see it. None keeps nothing.

    Returns:
      The auditors at the epoch of their lowest validation loss.

    Raises:
      InputError: parts that overlap, lack a class or have the wrong shape, AAD of another number
        of rows, or AAD in memory that is to be in a store.
      FloatingPointError: a validation loss that is not finite.
      Preempted: SIGTERM came; where several processes train the same auditors, to any of them.
    """
    config = config or FitConfig()
    members = schedule.parts(labels, train, validation, seeds)
    count = len(members[0].labels)
    for x in jax.tree.leaves(features):
        if len(x) != count:
            raise InputError(f"AAD of shape {x.shape} cannot belong to {count} labels")
    division = Whole if len(members) >= parallel.process_count() else Rows
    sample = jax.tree.map(lambda x: np.array(x[:: max(1, count // _SAMPLE)]), features)
    anywhere = dataclasses.replace(config, place=None)
    call = [module, anywhere, labels, train, validation, list(seeds), sample]
    checkpoints = Checkpoints(workdir, call)
    parallel.barrier("auditors")  # nobody writes a checkpoint that another one has yet to read
    place = placement.choose(features, *parallel.free_memory(), config.place)
    _LOG.info("%s auditor, %s: activations %s", module.kind, module.layer, place.reason)
    training = _Training(module, config, members, features, place.where, division, on_epoch)
    mine = range(len(members))
    if division is Whole:
        mine = mine[parallel.process_index() :: parallel.process_count()]
    fitted = {}
    with preemption.listening() as stopped:
        for lot in _lots(members, mine, checkpoints.places, config.batch_size, training.width):
            fitted |= training.run(lot, checkpoints, stopped)
    fitted = _of_all_processes(fitted, len(members)) if division is Whole else fitted
    variables, losses, epochs = zip(*(fitted[p] for p in range(len(members))))
    shape = jax.tree.map(lambda x: tuple(x.shape[1:]), features)
    return Population(module, config, list(variables), np.array(losses), np.array(epochs), shape)


def _lots(members: list, mine: Sequence[int], places: dict, batch_size: int, width: int) -> list:
    """Numbers of the auditors that run together: at one place, and alike in steps.

    An auditor that has fewer steps than its neighbours waits for them at the end of each
    epoch.
    """
    steps = [part.steps(batch_size) for part in members]
    lots: list[list[int]] = []
    for p in sorted(mine, key=lambda p: (places.get(p, ()), -steps[p])):
        first = lots[-1][0] if lots and len(lots[-1]) < width else None
        together = first is not None and places.get(p) == places.get(first)
        if together and steps[p] >= _ALIKE * steps[first]:
            lots[-1].append(p)
        else:
            lots.append([p])
    return lots


class _Training:
    """What trains lots of the auditors of one call."""

    def __init__(self, module, config, members, features, where, division, on_epoch: OnEpoch):
        self._module, self._config, self._members = module, config, members
        self._division, self._on_epoch = division, on_epoch
        self._feed = Feed(features, members, config.batch_size, where, division)
        self._run = programs(module, config.optimizer, config.learning_rate, division.over_rows)
        alone = 1 if division is Rows else parallel.device_count()
        self.width = len(members) if together(module) else alone

    def run(
        self, lot: list[int], checkpoints: Checkpoints, stopped: Callable[[], bool]
    ) -> dict[int, tuple]:
        """{auditor: (variables, validation loss, epoch)} of auditors that run together."""
        config, division, feed, run = self._config, self._division, self._feed, self._run
        padded = division.padded(lot)
        parts, progress = [self._members[p] for p in padded], Progress(len(padded))
        state = run.init(division.put(self._start(parts)))
        if lot[0] in checkpoints.places:
            at_rest = checkpoints.restore(padded, progress, division.take(state))
            state = division.put(at_rest)

        def keep(due: bool) -> None:
            """Writes a checkpoint where one is due, and must where the processes stop."""
            stop = parallel.agree(stopped()) if division is Rows else stopped()
            if (due or stop) and not (division is Rows and parallel.process_index()):
                checkpoints.save(lot, progress, division.take(state))
            if stop:
                raise preemption.Preempted

        while not progress.done(config.epochs, config.patience):
            for arguments in feed.training(parts, *progress.place):
                jax.block_until_ready(state)  # or segments that wait would fill the memory
                state = run.train(state, *arguments)
                progress.step += feed.steps
                keep(checkpoints.due())
            losses = self._validation_losses(state, parts)
            better = progress.better(losses, config.patience, config.min_delta)
            state = run.keep(state, division.put(better))
            self._on_epoch(lot, progress.epoch - 1, losses[: len(lot)])
        keep(checkpoints.due())
        kept = {"params": state["best"], "normalisation": state["normalisation"]}
        kept = division.take(kept)
        return {
            p: (jax.tree.map(lambda x, i=i: x[i], kept), progress.lowest[i], progress.at[i])
            for i, p in enumerate(lot)
        }

    def _validation_losses(self, state, parts: list) -> np.ndarray:
        sums = (self._run.loss(state, *arguments) for arguments in self._feed.validation(parts))
        losses = sum(self._division.take(s).astype(np.float64) for s in sums)
        losses /= [len(part.validation) for part in parts]
        if not np.isfinite(losses).all():
            raise FloatingPointError(f"{self._module.layer}: validation loss {losses}")
        return losses

    def _start(self, parts: list) -> dict:
        """Seeds, normalisation and initial parameters of the auditors, (P, ...)."""
        drawn = [initial_params(self._module, self._feed.example, part.seed) for part in parts]
        params = jax.tree.map(lambda *x: np.stack(x), *drawn)
        return {
            "seed": np.array([part.seed for part in parts], np.uint32),
            "normalisation": {"input": self._feed.statistics(parts, statistics)},
            "params": params,
            "best": params,
        }


def _of_all_processes(fitted: dict[int, Any], count: int) -> dict[int, Any]:
    """All auditors, of which every process trained each n-th."""
    processes = parallel.process_count()
    if processes == 1:
        return fitted
    own = [fitted[p] for p in sorted(fitted)]
    own += own[-1:] * (-(-count // processes) - len(own))
    parallel.barrier("fitted")
    found = parallel.gather(jax.tree.map(lambda *x: np.stack(x), *own))
    return {
        p: jax.tree.map(lambda x, p=p: x[p % processes, p // processes], found)
        for p in range(count)
    }
