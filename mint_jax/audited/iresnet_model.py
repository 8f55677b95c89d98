"""IResNets as audited models: made from an architecture, saved, loaded from a folder."""

import functools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from mint_jax import parallel
from mint_jax.audited.iresnet import STAGES, iresnet, preparation
from mint_jax.audited.model import AuditedModel, Preprocessing, digest
from mint_jax.errors import InputError

OUTCOME = "outcome"
LAYERS = (*STAGES, OUTCOME)
_DEFAULTS = {"width": 1.0, "embedding_size": 512, "input_size": 112}
_CONSTANTS = {"scale": 1, "bias": 0, "slope": 0.25, "mean": 0, "var": 1}


def make(
    architecture: Mapping[str, Any],
    variables: Any,
    *,
    sha256: str | None = None,
    preprocessing: Preprocessing | None = None,
    info: Mapping[str, Any] | None = None,
) -> AuditedModel:
    """An IResNet as an audited model.

    Args:
      architecture: {"kind": "iresnet", "name": "iresnet18", "width": 1.0, "embedding_size":
        512, "input_size": 112}; the last three may be absent.
      variables: {"params", "batch_stats"} of that network.
      sha256: of the file that they came from; None: of the variables.
      preprocessing: of pixels; None: (RGB - 127.5) / 127.5.
      info: what is known of the model; its "name" names it.
    """
    architecture = complete(architecture)
    network = _network(architecture)

    def forward(variables, x, layers):
        embedding, taps = network.apply(variables, x)
        found = {**taps, OUTCOME: embedding}
        return {layer: found[layer] for layer in layers}

    info = dict(info or {})
    return AuditedModel(
        name=info.get("name", architecture["name"]),
        layers=LAYERS,
        variables=variables,
        sha256=sha256 or digest(variables),
        input_size=architecture["input_size"],
        preprocessing=preprocessing or Preprocessing(),
        forward=forward,
        prepare=preparation(network, architecture["input_size"]),
        redraw=functools.partial(init, architecture),
        architecture=architecture,
        info=info,
    )


def complete(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture with its defaults.

    Raises:
      InputError: another kind of network, or a key that is not understood.
    """
    full = {"kind": "iresnet", **_DEFAULTS, **architecture}
    if full["kind"] != "iresnet":
        raise InputError(f'unknown kind of network {full["kind"]!r}; "iresnet" is known')
    unknown = set(full) - {"kind", "name", *_DEFAULTS}
    if unknown:
        raise InputError(f"unknown key {min(unknown)!r} of an IResNet architecture")
    return full


def init(architecture: Mapping[str, Any], seed: int) -> Any:
    """Random variables: He-normal kernels, slopes 0.25, BatchNorms that change nothing."""
    generator = np.random.default_rng(seed)

    def draw(path, leaf):
        kind = path[-1].key
        if kind == "kernel":
            spread = np.float32((2 / np.prod(leaf.shape[:-1])) ** 0.5)
            return generator.standard_normal(leaf.shape, np.float32) * spread
        return np.full(leaf.shape, _CONSTANTS[kind], np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes(architecture))


def shapes(architecture: Mapping[str, Any]) -> Any:
    """Shapes and types of the variables of an IResNet."""
    architecture = complete(architecture)
    x = jnp.zeros((1, architecture["input_size"], architecture["input_size"], 3))
    return jax.eval_shape(_network(architecture).init, jax.random.key(0), x)


def save(
    folder: str | Path,
    *,
    architecture: Mapping[str, Any],
    variables: Any,
    preprocessing: Preprocessing,
    info: Mapping[str, Any],
    source_sha256: str | None = None,
) -> None:
    """Stores an IResNet: Orbax variables and `model.json`; an older model there is
    replaced.

    Args:
      folder: made where it does not exist.
      architecture: as `make` takes it.
      variables: {"params", "batch_stats"}.
      preprocessing: of pixels.
      info: what is known of the model, JSON types.
      source_sha256: of the file that the weights were imported from, if any.
    """
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "variables", ignore_errors=True)
    variables = jax.tree.map(np.asarray, dict(variables))
    with _checkpointer() as checkpointer:
        checkpointer.save(folder / "variables", variables)
    content = {
        "architecture": complete(architecture),
        "preprocessing": vars(preprocessing),
        "info": dict(info),
        "source_sha256": source_sha256,
        "weights_sha256": digest(variables),
    }
    (folder / "model.json").write_text(json.dumps(content, indent=1) + "\n")


def load_folder(folder: str | Path) -> AuditedModel:
    """The model that `save` stored.

    Raises:
      InputError: no such model, or its weights are not those that were stored.
    """
    folder = Path(folder).absolute()
    try:
        content = json.loads((folder / "model.json").read_text())
        architecture = complete(content["architecture"])
        preprocessing = Preprocessing(**content["preprocessing"])
        source, weights, info = (
            content[key] for key in ("source_sha256", "weights_sha256", "info")
        )
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise InputError(f"{folder}: no stored model: {reason}") from reason
    variables = _restore(folder / "variables", architecture)
    if digest(variables) != weights:
        raise InputError(f"{folder}: the weights are not those that were stored (SHA-256)")
    return make(
        architecture,
        jax.tree.map(jnp.asarray, variables),
        sha256=source or weights,
        preprocessing=preprocessing,
        info=info,
    )


def _network(architecture: Mapping[str, Any]):
    return iresnet(
        architecture["name"],
        width=architecture["width"],
        embedding_size=architecture["embedding_size"],
    )


def _checkpointer() -> ocp.Checkpointer:
    alone = parallel.alone()
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _restore(path: Path, architecture: Mapping[str, Any]) -> Any:
    """Variables as NumPy arrays, whatever devices they were saved from."""
    target = shapes(architecture)
    arguments = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), target)
    try:
        with _checkpointer() as checkpointer:
            return checkpointer.restore(path, item=target, restore_args=arguments)
    except Exception as reason:  # Orbax raises what its storage layers happen to raise
        first = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
        raise InputError(f"{path}: the weights cannot be read: {first}") from reason
