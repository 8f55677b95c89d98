"""Exports trained auditors: Orbax arrays and one `auditor.json` beside them."""

import json
import warnings
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
import orbax.checkpoint as ocp

from mint_jax import parallel
from mint_jax.auditors import parts
from mint_jax.auditors.cnn import CNN
from mint_jax.auditors.fusion import FusionConfig
from mint_jax.auditors.neighbour import NeighbourConfig
from mint_jax.auditors.trained import TrainedAuditor
from mint_jax.auditors.vanilla import Vanilla
from mint_jax.errors import InputError

_MODELS = {model.kind: model for model in (Vanilla, CNN, NeighbourConfig, FusionConfig)}
_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_FORMAT = 1
_LINEN = ("parent", "name")
_WARNING = (
    "this auditor holds embeddings of people's faces: biometric templates, and so personal "
    "data under the GDPR; keep and share it accordingly"
)


class Audited(Protocol):
    """What `load` reads of an audited model."""

    name: str
    sha256: str


def save(auditor: TrainedAuditor, folder: str | Path) -> None:
    """Writes what a verdict needs into `folder`; an auditor that is there is replaced.

    Of several processes one calls it, and waits for no other.

    Warns (`UserWarning`) where embeddings are exported: they are biometric templates.
    """
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"variables": auditor.variables, "calibration": auditor.calibration}
    arrays = jax.tree.map(np.asarray, {k: dict(v) for k, v in arrays.items()})
    with _checkpointer() as checkpointer:
        checkpointer.save(folder / "arrays", arrays, force=True)
    banked = any(np.ndim(x) > 1 for x in auditor.calibration.values())  # of the in-support gate
    templates = banked or getattr(auditor.model, "templates", False)
    record = {
        "format": _FORMAT,
        "kind": auditor.kind,
        "layers": auditor.layers,
        "reduce": auditor.reduce,
        "config": _config(auditor.model),
        "input_shape": auditor.input_shape,
        "audited_sha256": auditor.audited_sha256,
        "fit": dict(auditor.fit),
        "meta": dict(auditor.meta),
        "warnings": [_WARNING] if templates else [],
        "versions": {library: version(library) for library in _LIBRARIES},
    }
    (folder / "auditor.json").write_text(json.dumps(record, indent=1))
    if templates:
        warnings.warn(f"{folder}: {_WARNING}", stacklevel=2)


def load(folder: str | Path, audited: Audited | None = None) -> TrainedAuditor:
    """Reads an exported auditor; its scores are those of the saved one, bit for bit.

    Args:
      folder: written by `save`.
      audited: the audited model whose AAD it will score; None leaves that unchecked.

    Raises:
      InputError: no auditor there, an unreadable one, or one of another audited model.
    """
    folder = Path(folder).absolute()
    try:
        record = json.loads((folder / "auditor.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no exported auditor ({error})") from None
    if record.get("format") != _FORMAT or record.get("kind") not in _MODELS:
        raise InputError(f"{folder}: auditor.json is of an unknown kind or format")
    sha256 = record["audited_sha256"]
    if audited is not None and audited.sha256 != sha256:
        raise InputError(
            f"{folder}: this auditor was trained on the audited model {sha256[:12]}, and "
            f"{audited.name} is {audited.sha256[:12]}; its scores would mean nothing"
        )
    arrays = _restore(folder)
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in record["config"].items()}
    shape = record["input_shape"]
    several = isinstance(shape, dict)
    return TrainedAuditor(
        _MODELS[record["kind"]](**config),
        arrays["variables"],
        {layer: tuple(own) for layer, own in shape.items()} if several else tuple(shape),
        sha256,
        record["fit"],
        arrays.get("calibration", {}),
        record["meta"],
    )


def _config(model: Any) -> dict:
    config = {f.name: getattr(model, f.name) for f in fields(model) if f.name not in _LINEN}
    if model.kind == FusionConfig.kind:
        config["parts"] = [parts.to_json(part) for part in model.parts]
    return config


def _checkpointer() -> ocp.StandardCheckpointer:
    return ocp.StandardCheckpointer(multiprocessing_options=parallel.alone())


def _restore(folder: Path) -> dict:
    try:
        with _checkpointer() as checkpointer:
            return jax.tree.map(np.asarray, checkpointer.restore(folder / "arrays"))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder}: the auditor's arrays cannot be read ({reason})") from None
