"""Training of an audited model from images and labels, by any number of processes.

It is resumable after each epoch, and after the step at which SIGTERM came, on another number of
devices and processes too: which images are next follows from the state's count of steps.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from tqdm import tqdm

from mint_jax import parallel, preemption
from mint_jax.errors import InputError
from mint_jax.lab.config import TrainConfig
from mint_jax.lab.step import build_optimizer, init_state, learning_rate, make_step


@dataclass(frozen=True)
class Trained:
    """A trained audited model.

    Attributes:
      variables: {"params", "batch_stats"} of the network.
      head: "prototypes" (classes, D), and "bias" (classes,) of a softmax head; NumPy.
      losses: (epochs, steps an epoch) float64; the mean loss of each step's batch.
    """

    variables: dict[str, Any]
    head: dict[str, np.ndarray]
    losses: np.ndarray


def epoch_rows(images: int, config: TrainConfig, epoch: int) -> np.ndarray:
    """Rows of each batch of an epoch, (steps, batch_size) int64; the remainder is left out.

    Raises:
      InputError: there are fewer images than one batch holds.
    """
    steps = images // config.batch_size
    if not steps:
        raise InputError(f"{images} training images do not fill a batch of {config.batch_size}")
    order = np.random.default_rng([config.seed, epoch]).permutation(images)
    return order[: steps * config.batch_size].reshape(steps, config.batch_size)


def train(
    config: TrainConfig,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    workdir: Path | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    on_step: Callable[[int, float, float], None] = lambda step, loss, learning_rate: None,
) -> Trained:
    """Trains an audited model.

    Args:
      config: architecture, head, optimiser, augmentation, seed.
      images: (n, S, S, 3) uint8 RGB at the network's input size S; a `np.memmap` will do.
      labels: (n,) integers 0 .. classes - 1.
      workdir: folder for a checkpoint after each epoch, or at SIGTERM, from which the same call
        resumes; the result is that of an uninterrupted run. None keeps nothing.
      epochs: stop after that many epochs; the schedule stays that of `config.epochs`.
      steps: stop each epoch after that many steps.
      on_step: called after each step with how many there were, with its loss and learning rate;
        steps that an interruption undid come again.

    Returns:
      The trained model.

    Raises:
      InputError: images of another size, labels that do not fit, a loss that is not finite.
      Preempted: SIGTERM came to one of the processes; all of them stop after the same step.
    """
    images, labels = _checked(config, images, labels)
    steps_per_epoch = len(epoch_rows(len(images), config, 0))
    rate = learning_rate(config, steps_per_epoch)
    optimizer = build_optimizer(config, rate)
    step = make_step(config, optimizer)
    checkpoints = _Checkpoints(workdir)
    state = init_state(config, optimizer, int(labels.max()) + 1)
    state, losses = checkpoints.restore(state, (config.epochs, steps or steps_per_epoch))
    done, each = int(state["step"]), losses.shape[1]
    rates = np.asarray(rate(np.arange(losses.size)))
    state = parallel.replicate(state)

    def finish(epoch: int, position: int, loss: jax.Array) -> float:
        losses[epoch, position] = found = _finite(loss, epoch, position)
        count = epoch * each + position
        on_step(count + 1, found, rates[count].item())
        return found

    with preemption.listening() as stopped:
        while done < (epochs or config.epochs) * each:
            epoch, begin = divmod(done, each)
            batches = _batches(config, images, labels, epoch, slice(begin, each))
            state, end = _run_epoch(
                step, state, batches, range(begin, each), epoch, finish, stopped
            )
            done = epoch * each + end
            checkpoints.save(done, parallel.unreplicate(state), losses)
            if end < each:
                raise preemption.Preempted
    state = jax.tree.map(np.asarray, parallel.unreplicate(state))
    variables = {
        "params": state["params"]["network"],
        "batch_stats": state["batch_stats"],
    }
    return Trained(variables, state["params"]["head"], losses[: epochs or config.epochs])


def _checked(config: TrainConfig, images: np.ndarray, labels: np.ndarray):
    size = config.architecture["input_size"]
    if images.shape[1:] != (size, size, 3) or images.dtype != np.uint8:
        raise InputError(
            f"training images are {images.dtype} {images.shape[1:]}; "
            f"the network takes uint8 ({size}, {size}, 3)"
        )
    labels = np.asarray(labels, np.int32)
    if labels.shape != (len(images),) or labels.min() < 0:
        raise InputError(f"{len(images)} images need as many labels >= 0, not {labels.shape}")
    return images, labels


def _batches(
    config: TrainConfig, images: np.ndarray, labels: np.ndarray, epoch: int, steps: slice
) -> Iterator[dict[str, jax.Array]]:
    """This process's part of each batch."""
    own = parallel.own_part(config.batch_size)
    position = np.arange(config.batch_size, dtype=np.int32)[own]
    for rows in epoch_rows(len(images), config, epoch)[steps, own]:
        yield parallel.shard({"image": images[rows], "label": labels[rows], "position": position})


def _run_epoch(
    step: Callable,
    state: Any,
    batches: Iterator,
    steps: range,
    epoch: int,
    finish: Callable[[int, int, jax.Array], float],
    stopped: Callable[[], bool],
) -> tuple[Any, int]:
    """An epoch's `steps`; returns the state and where it ended.

    A step's loss is read, and the step finished, while the next one runs.
    """
    with tqdm(
        batches, initial=steps.start, total=steps.stop, desc=f"epoch {epoch + 1}", unit="step"
    ) as progress:
        pending = None
        for position, batch in enumerate(progress, steps.start):
            state, loss = step(state, batch)
            if pending is not None:
                found = finish(epoch, position - 1, pending)
                progress.set_postfix(loss=f"{found:.3f}", refresh=False)
            pending = loss
            if parallel.agree(stopped()):
                break
        finish(epoch, position, pending)
    return state, position + 1


def _finite(loss: jax.Array, epoch: int, step: int) -> float:
    value = float(parallel.unreplicate(loss))
    if not np.isfinite(value):
        raise InputError(
            f"the training loss is {value} at step {step + 1} of epoch {epoch + 1}: "
            "lower the learning rate"
        )
    return value


class _Checkpoints:
    """The newest state and all losses so far, in an Orbax folder, by the number of steps."""

    def __init__(self, workdir: Path | None):
        self._manager = None
        if workdir is not None:
            options = ocp.CheckpointManagerOptions(max_to_keep=1)
            folder = Path(workdir).absolute() / "checkpoints"
            self._manager = ocp.CheckpointManager(folder, options=options)

    def restore(self, state: Any, shape: tuple[int, int]) -> tuple[Any, np.ndarray]:
        target = {"state": jax.tree.map(np.asarray, state), "losses": np.zeros(shape)}
        latest = self._manager.latest_step() if self._manager else None
        if latest is not None:
            target = self._manager.restore(latest, args=ocp.args.StandardRestore(target))
        return target["state"], np.array(target["losses"])

    def save(self, done: int, state: Any, losses: np.ndarray) -> None:
        if self._manager is None:
            return
        content = {"state": jax.tree.map(np.asarray, state), "losses": losses}
        self._manager.save(done, args=ocp.args.StandardSave(content))
        self._manager.wait_until_finished()
