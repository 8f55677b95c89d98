"""Weak and strong scaling over processes of this machine, and what more devices would send.

    python -m experiments.scaling --workdir=DIR [--counts=1,2,4] [--turns=5]

times extraction and the lab's data-parallel training by each number of processes, by turns, started
as `launch.local` does. The cores are shared out once, among the largest number of processes, one
core each at least; a process has that share whether or not others run, so that twice as many have
twice as many cores until there are no more. Weak: each process does what one did. Strong: all
together do. Compilation and start are not in the seconds.

Then it compiles a step of the configured training for as many devices as are asked for, and one of
an IResNet-100 with a class for each person of Glint360K, counts the bytes of their collectives, and
reckons how long a ring takes for them: arithmetic, with assumed bandwidths and speeds. Prints
tables in Markdown and writes `DIR/scaling.json`, anew after each turn.
"""

import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags
from tqdm import tqdm

from experiments import cli, scaling_report, scaling_runs, traffic, versions
from mint_jax.errors import InputError
from mint_jax.lab import TrainConfig

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of scaling.json", required=True)
_CONFIG = config_flags.DEFINE_config_file(
    "config", str(Path(__file__).with_name("configs") / "embedded_model.py"), "what is trained"
)
_CLASSES = flags.DEFINE_integer("classes", 2400, "people that it tells apart", lower_bound=1)
_AUDITED = flags.DEFINE_string("audited", "embedded", "whose activations are extracted")
_COUNTS = flags.DEFINE_list("counts", ["1", "2", "4"], "numbers of processes, 1 among them")
_TURNS = flags.DEFINE_integer("turns", 5, "runs of each number", lower_bound=1)
_IMAGES = flags.DEFINE_integer("images", 1024, "extracted by one process", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 6, "of training that are timed", lower_bound=1)
_DEVICES = flags.DEFINE_list("devices", ["64", "512"], "numbers of devices to reckon for")
_BATCH = flags.DEFINE_integer("per_device_batch", 128, "images of each of them", lower_bound=1)
_BANDWIDTHS = flags.DEFINE_list(
    "bandwidths",
    ["NVLink 4=450", "ICI v5p=600", "InfiniBand NDR=50", "100 Gb Ethernet=12.5"],
    "GB/s that a device sends while it receives as many: NVIDIA's H100 data sheet (900 both ways), "
    "Google's page on TPU v5p (1,200 both ways), a 400 Gb/s port for each GPU as in NVIDIA's DGX "
    "H100 user guide, IEEE 802.3ba",
)
_SPEEDS = flags.DEFINE_list(
    "speeds",
    ["configured=20000", "IResNet-100=2000"],
    "images a second that a device trains where it sends nothing: assumed, not measured",
)


def main(argv: Sequence[str]) -> None:
    """Counts bytes, then times each number of processes by turns."""
    del argv
    jax.config.update("jax_platforms", "cpu")  # as the processes that are started
    config, workdir = TrainConfig(**_CONFIG.value.training.to_dict()), Path(_WORKDIR.value)
    counts, cores = _counts(config.batch_size), len(os.sched_getaffinity(0))
    share = max(1, cores // max(counts))
    found = {"cores": cores, "share": share, "images": _IMAGES.value, **_traffic(config)}
    command = [
        *(sys.executable, "-m", "experiments.scaling_steps"),
        f"--photos={scaling_runs.write_photos(workdir / 'photos')}",
        *(f"--audited={_AUDITED.value}", f"--images={_IMAGES.value}"),
        *(f"--training={json.dumps(config.to_json())}", f"--classes={_CLASSES.value}"),
        *(f"--steps={_STEPS.value}", f"--share={share}"),
    ]
    turns: list[dict[int, dict]] = []
    for _ in tqdm(range(_TURNS.value), "timing", unit="turn"):
        turns.append(
            {count: scaling_runs.run(command, count, workdir / "times.json") for count in counts}
        )
        found |= {"rows": scaling_runs.rows(turns, cores // share), **versions.describe()}
        (workdir / "scaling.json").write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(scaling_report.lines(found)))


def _counts(batch_size: int) -> list[int]:
    """Numbers of processes, over which all work divides."""
    counts = _numbers("counts", _COUNTS.value)
    if 1 not in counts:
        raise InputError("--counts: 1 is missing, with which the others are compared")
    for count in counts:
        if _IMAGES.value % count or batch_size % count:
            raise InputError(
                f"--counts: {_IMAGES.value} images, or a batch of {batch_size}, do not divide "
                f"over {count} processes"
            )
    return counts


def _traffic(config: TrainConfig) -> dict[str, Any]:
    """{"sent": bytes of compiled steps, "arithmetic": a row for each number and link}."""
    trainings = {
        "configured": (config, _CLASSES.value),
        "IResNet-100": (traffic.large(config), traffic.GLINT360K),
    }
    devices, batch = _numbers("devices", _DEVICES.value), _BATCH.value
    bandwidths, speeds = _figures("bandwidths", _BANDWIDTHS), _figures("speeds", _SPEEDS)
    if set(speeds) != set(trainings):
        raise InputError(f"--speeds: one each of {', '.join(trainings)}")
    sent = traffic.measure(trainings, _AUDITED.value, max(devices), batch)
    rows = [
        {"training": name, "devices": number, "link": link, "gb_per_second": bandwidth}
        | {"images_per_second": speeds[name]}
        | traffic.reckon(of_step, number, batch, bandwidth * 1e9, speeds[name])
        for name, of_step in sent["training"].items()
        for number in devices
        for link, bandwidth in bandwidths.items()
    ]
    return {"sent": sent, "arithmetic": rows}


def _numbers(flag: str, values: Sequence[str]) -> list[int]:
    try:
        numbers = [int(value) for value in values]
    except ValueError as error:
        raise InputError(f"--{flag}: {error}") from None
    if not numbers or min(numbers) < 1:
        raise InputError(f"--{flag}: numbers from 1 on, not {','.join(values)!r}")
    return numbers


def _figures(flag: str, pairs: flags.FlagHolder) -> dict[str, float]:
    """{name: a positive number} of a list of NAME=NUMBER."""
    found = {}
    for pair in pairs.value:
        name, _, value = pair.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = math.nan
        if not (name and found[name] > 0):
            raise InputError(f"--{flag}: {pair!r} is not NAME=NUMBER, a positive one")
    return found


if __name__ == "__main__":
    cli.run(main)
