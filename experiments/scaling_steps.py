"""Times extraction and the lab's training within one of several processes.

`experiments.scaling` starts it through `launch.local`. Each process keeps to `--share` of the
cores, of which XLA then makes its threads. Compilation and start are over when the processes wait
for each other and the clock starts; the slowest of them counts. Process 0 writes `--output`:

    {"extraction": {"weak", "strong": seconds}, "training": the same, of one step}
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from absl import flags

from data_pipelines import loader
from data_pipelines.databases.image_folder import ImageFolder
from data_pipelines.sources import Subset
from experiments import cli
from mint_jax import aad, audited, parallel
from mint_jax.lab import TrainConfig
from mint_jax.lab.step import build_optimizer, init_state, make_step

_AUDITED = flags.DEFINE_string("audited", "embedded", "whose activations are extracted")
_PHOTOS = flags.DEFINE_string("photos", None, "folder of images that are read over and over")
_IMAGES = flags.DEFINE_integer("images", 1024, "extracted by each process, or by all together")
_TRAINING = flags.DEFINE_string("training", None, "JSON of a `TrainConfig`")
_CLASSES = flags.DEFINE_integer("classes", 2400, "of its head")
_STEPS = flags.DEFINE_integer("steps", 6, "of training")
_SHARE = flags.DEFINE_integer("share", 1, "cores of each process")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file")

_WARM = 2  # steps before the clock starts: the second has the first's results for arguments


def main(argv: Sequence[str]) -> None:
    """Times what `--output` says."""
    del argv
    count, config = parallel.process_count(), TrainConfig(**json.loads(_TRAINING.value))
    extract = _extraction()
    found: dict[str, dict[str, float]] = {"extraction": {}, "training": {}}
    for name, images, batch in (
        ("weak", _IMAGES.value, config.batch_size * count),
        ("strong", _IMAGES.value // count, config.batch_size),
    ):
        if count == 1 and name == "strong":  # nothing is divided: the same
            found = {work: seconds | {name: seconds["weak"]} for work, seconds in found.items()}
            break
        found["extraction"][name] = _timed(f"extraction {name}", extract, 1, images)
        train = _training(replace(config, batch_size=batch))
        seconds = _timed(f"training {name}", train, _WARM, _STEPS.value)
        found["training"][name] = seconds / _STEPS.value
    if not parallel.process_index():
        Path(_OUTPUT.value).write_text(json.dumps(found))


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a main function on this process's cores; XLA has its threads when processes have met."""
    flags.mark_flags_as_required(["photos", "training", "output"])
    flags.FLAGS(sys.argv, known_only=True)
    _keep_to_cores()
    cli.run(main, multihost=True)


def _keep_to_cores() -> None:
    """Takes this process's share of the cores; threads that are there already keep theirs."""
    cores, first = sorted(os.sched_getaffinity(0)), (flags.FLAGS.process or 0) * _SHARE.value
    own = {cores[i % len(cores)] for i in range(first, first + _SHARE.value)}
    os.sched_setaffinity(0, own)


def _timed(name: str, run: Callable[[int], None], warm: int, count: int) -> float:
    """Seconds of `run(count)` in the slowest process, all having begun together."""
    run(warm)
    parallel.barrier(f"{name} begins")
    begin = time.perf_counter()
    run(count)
    seconds = np.array(time.perf_counter() - begin, np.float32)
    parallel.barrier(f"{name} ends")
    return parallel.gather(seconds).max().item()


def _extraction() -> Callable[[int], None]:
    """Reads, decodes and extracts so many images; only the store's writing is left out."""
    model, source = audited.load(_AUDITED.value), ImageFolder(_PHOTOS.value)
    extractor = aad.make_extractor(model, model.layers, per_device_batch=64)

    def run(images: int) -> None:
        rows = Subset(source, np.arange(images) % len(source))
        aad.extract(extractor, loader.batches(rows, extractor.chunk), images)

    return run


def _training(config: TrainConfig) -> Callable[[int], None]:
    """So many steps as `lab.train` does them, which after each agrees on whether to go on."""
    optimizer = build_optimizer(config, 100)
    step = make_step(config, optimizer)
    state = parallel.replicate(init_state(config, optimizer, _CLASSES.value))
    draws, size = np.random.default_rng(0), config.architecture["input_size"]
    own = parallel.own_part(config.batch_size)
    batch = {
        "image": draws.integers(0, 256, (config.batch_size, size, size, 3), np.uint8)[own],
        "label": draws.integers(0, _CLASSES.value, config.batch_size, np.int32)[own],
        "position": np.arange(config.batch_size, dtype=np.int32)[own],
    }

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, _ = step(state, parallel.shard(batch))
            parallel.agree(False)
        jax.block_until_ready(state)

    return run


if __name__ == "__main__":
    run(main)
