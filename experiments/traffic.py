"""What processes that share a step send to each other: read from compiled programs, then reckoned.

Bytes are those of the program that XLA compiles for as many devices as are asked for; nothing of
it runs, and no array of a network is made. Times are arithmetic from them: of a ring, in which
each device sends 2 (N - 1) / N of an all-reduce's bytes, and of what a device computes alone.
"""

import math
import multiprocessing
import re
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from mint_jax import audited, parallel
from mint_jax.aad.extractor import apply_function
from mint_jax.lab import TrainConfig
from mint_jax.lab.step import build_optimizer, init_state, make_step

GLINT360K = 360_232  # people
_KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
_CALL = re.compile(rf"= (\(.*?\)|\S+) ({_KINDS})(?:-start)?\(")
_ARRAY = re.compile(r"(?:pred|[a-z]+(\d+))\[([\d,]*)\]")
_STEPS = 100  # of an epoch; the schedule sends nothing


def large(config: TrainConfig) -> TrainConfig:
    """The same training of an IResNet-100 at 112x112."""
    full = {"kind": "iresnet", "name": "iresnet100", "width": 1.0}
    return replace(config, architecture=full | {"embedding_size": 512, "input_size": 112})


def collectives(hlo: str) -> dict[str, dict[str, int]]:
    """What the collectives of an HLO text give to each device.

    Returns:
      {kind, such as "all-reduce": {"calls", "bytes"}}; an all-reduce takes as many as it gives.
    """
    found: dict[str, dict[str, int]] = {}
    for shapes, kind in _CALL.findall(hlo):
        tally = found.setdefault(kind, {"calls": 0, "bytes": 0})
        tally["calls"] += 1
        tally["bytes"] += sum(
            int(bits or 8) // 8 * math.prod(int(size) for size in sizes.split(",") if size)
            for bits, sizes in _ARRAY.findall(shapes)
        )
    return found


def training_step(
    config: TrainConfig, classes: int, per_device_batch: int
) -> tuple[jax.stages.Lowered, dict[str, int]]:
    """One step of the lab on all devices that there are, from shapes alone.

    Returns:
      The lowered step, and bytes of what it holds: {"network", "head", "batch_stats"}.
    """
    optimizer, size = build_optimizer(config, _STEPS), config.architecture["input_size"]
    state = jax.eval_shape(lambda: init_state(config, optimizer, classes))
    batch = {
        "image": jax.ShapeDtypeStruct((per_device_batch, size, size, 3), jnp.uint8),
        "label": jax.ShapeDtypeStruct((per_device_batch,), jnp.int32),
        "position": jax.ShapeDtypeStruct((per_device_batch,), jnp.int32),
    }
    step = make_step(config, optimizer).lower(_everywhere(state), _everywhere(batch))
    held = state["params"] | {"batch_stats": state["batch_stats"]}
    return step, {name: _bytes(tree) for name, tree in held.items()}


def extraction_step(model: audited.AuditedModel, per_device_batch: int) -> jax.stages.Lowered:
    """What `aad.Extractor` compiles for all layers of a model."""
    images = jax.ShapeDtypeStruct((per_device_batch, 112, 112, 3), jnp.uint8)
    program = parallel.pmap(apply_function(model, model.layers, "max"))
    return program.lower(_everywhere(model.variables), _everywhere(images))


def measure(
    trainings: Mapping[str, tuple[TrainConfig, int]],
    model: str,
    devices: int,
    per_device_batch: int,
) -> dict[str, Any]:
    """Compiles steps in a process of its own, whose processor stands for `devices` devices.

    Args:
      trainings: {name: (configuration, classes)}.
      model: whose extraction is compiled, as `audited.load` takes it.
      devices: how many.
      per_device_batch: images of each device.

    Returns:
      JSON-able {"devices", "per_device_batch", "extraction": its `collectives`, "training": {name:
      {"collectives", "network", "head", "batch_stats", "embedding_size"}}}.

    Raises:
      InputError: there is no such model.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(_measure, dict(trainings), model, devices, per_device_batch).result()
    return {"devices": devices, "per_device_batch": per_device_batch, **found}


def _measure(trainings, model, devices, per_device_batch):
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    step = extraction_step(audited.load(model), per_device_batch)
    found = {"extraction": collectives(step.compile().as_text()), "training": {}}
    for name, (config, classes) in trainings.items():
        step, held = training_step(config, classes, per_device_batch)
        found["training"][name] = {
            "collectives": collectives(step.compile().as_text()),
            **held,
            "embedding_size": config.architecture["embedding_size"],
        }
    return found


def reckon(
    sent: Mapping[str, Any], devices: int, per_device_batch: int, bandwidth: float, speed: float
) -> dict[str, Any]:
    """Arithmetic on what `measure` found of a training: how long its all-reduces take in a ring.

    A head in as many parts as there are devices (PartialFC: An et al., arXiv 2203.15565) sends no
    gradients of its prototypes. It gathers the embeddings of the whole batch and scatters their
    gradients, together as much as one all-reduce of them, and for each image reduces a maximum, a
    sum and the cosine of its own class and gathers its label.

    Args:
      sent: of one training, as `measure` has it.
      devices: N.
      per_device_batch: images of each device.
      bandwidth: bytes a second that each device sends, while it receives as many.
      speed: images a second of each device, had it nothing to send.

    Returns:
      {"replicated", "partitioned": {"bytes", "bytes_per_image": of one device's images, "seconds",
      "share": of a step in which nothing is computed meanwhile}, "hops": one after the other in
      the rings of all calls, whose delay is not in the seconds}.
    """
    calls, total = (sent["collectives"]["all-reduce"][key] for key in ("calls", "bytes"))
    of_batch = 4 * devices * per_device_batch * (sent["embedding_size"] + 4)
    found: dict[str, Any] = {"hops": calls * 2 * (devices - 1)}
    for name, count in ("replicated", total), ("partitioned", total - sent["head"] + of_batch):
        seconds = 2 * (devices - 1) / devices * count / bandwidth
        found[name] = {
            "bytes": count,
            "bytes_per_image": count / per_device_batch,
            "seconds": seconds,
            "share": seconds / (seconds + per_device_batch / speed),
        }
    return found


def _everywhere(tree: Any) -> Any:
    """Shapes of a tree with a copy, or a part, for each device."""
    count = parallel.device_count()
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), tree)


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
