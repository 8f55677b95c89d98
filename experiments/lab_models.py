"""Audited models of the lab and the truth: who was in the training set, and who was not."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines import attributes
from data_pipelines.databases.synthetic_faces import SyntheticFaces
from data_pipelines.sources import open_source
from experiments import lab_images, lab_leakage, versions
from experiments.metrics import Metrics
from mint_jax import audited, lab, parallel
from mint_jax.errors import InputError

EMBEDDED = Path(audited.__file__).with_name("embedded")


@dataclass(frozen=True)
class GroundTruth:
    """A source of images and the truth about each of them.

    Attributes:
      source: random-access source with `identities`.
      members: (m,) int64 rows of the images that the model was trained on.
      non_members: (n,) int64 rows of the images that were held out.
      manifest: what the lab recorded: source, split, training, losses,
        verification, what a neighbour auditor reads, versions.
    """

    source: Any
    members: np.ndarray
    non_members: np.ndarray
    manifest: Mapping[str, Any]


def ground_truth(folder: str | Path = EMBEDDED, source: Any | None = None) -> GroundTruth:
    """The truth about a model of the lab, out of the manifest beside its weights.

    Args:
      folder: the model's folder; the embedded default's where not given.
      source: the images, where they have moved; else they are found as the manifest says.

    Raises:
      InputError: no manifest, or a source that is not the one that was split.
    """
    path = Path(folder) / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    source = open_images(manifest["source"]) if source is None else source
    split = manifest["split"]
    members, others = split_rows(source, split)
    if (len(members), len(others)) != (split["member_images"], split["non_member_images"]):
        raise InputError(
            f"{path}: the source has {len(members)} images of members and {len(others)} of "
            f"non-members, not {split['member_images']} and {split['non_member_images']}"
        )
    return GroundTruth(source, members, others, manifest)


def class_centres(folder: Path) -> np.ndarray:
    """Rows (classes, D) of the classification head that a model of the lab was trained with."""
    with np.load(folder / "head.npz") as head:
        return head["prototypes"]


def open_images(spec: Mapping[str, Any]) -> Any:
    """The source that a configuration or a manifest names.

    Args:
      spec: {"kind": "folder", "path"} or {"kind": "synthetic_faces", "database", "seed",
        "identities", "images_per_identity"}.
    """
    options = {key: value for key, value in spec.items() if key != "kind"}
    if spec["kind"] == "synthetic_faces":
        return SyntheticFaces(**options)
    return open_source(options["path"])


def _units(source: Any, by: str) -> np.ndarray:
    """(n,) what a split does not tear apart: each image's identity, or its own key."""
    if by == "identity":
        return np.asarray(source.identities)
    if by == "image":
        return np.asarray(source.keys)
    raise InputError(f'split.by is {by!r}; it must be "identity" or "image"')


def train_on_part(
    config: ConfigDict, source: Any, workdir: Path
) -> tuple[audited.AuditedModel, GroundTruth]:
    """Trains an audited model on a random part of a source, or finds it trained already.

    Args:
      config: `name`, `source` (for the manifest), `split`, `labels`, `training`,
        `verification_images`, `workers`; see `experiments/configs/embedded_model.py`.
      source: random-access source with `identities` and `keys`.
      workdir: gets `checkpoints/`, `metrics.jsonl`, `tensorboard/` and `model/`: the weights, the
        head and the manifest.

    Returns:
      The model and the truth about it.

    Raises:
      InputError: `workdir` belongs to another configuration, or what `lab.train` raises.
    """
    with parallel.process_0_first("claimed"):
        claim(config, workdir / "lab.json")
    folder = workdir / "model"
    if not (folder / "manifest.json").exists():
        _train(config, source, workdir, folder)
    parallel.barrier("trained")
    return audited.load(str(folder)), ground_truth(folder, source)


def claim(config: ConfigDict, path: Path) -> None:
    """Notes down in `path` with what a folder is trained; refuses to go on with something else."""
    content = config.to_json(indent=1, sort_keys=True)
    if path.exists():
        if path.read_text() != content:
            raise InputError(f"{path}: another training began here; choose another workdir")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def _train(config: ConfigDict, source: Any, workdir: Path, folder: Path) -> None:
    training = lab.TrainConfig(**config.training.to_dict())
    split = draw_split(source, config.split)
    members, others = split_rows(source, split)
    size = training.architecture["input_size"]
    images = lab_images.divide_reading(source, members, size, config.workers)
    labels = class_labels(source, members, config.labels)
    with contextlib.closing(Metrics(workdir)) as metrics:

        def on_step(step: int, loss: float, learning_rate: float) -> None:
            metrics.write(step, {"loss": loss, "learning_rate": learning_rate})

        trained = lab.train(training, images, labels, workdir=workdir, on_step=on_step)
    if parallel.process_index():
        return
    database = ", ".join(f"{key} {value}" for key, value in config.source.items())
    audited.save(
        folder,
        architecture=training.architecture,
        variables=trained.variables,
        preprocessing=lab.PREPROCESSING,
        info={"name": config.name, "training_database": f"a part of {database}"},
    )
    np.savez(folder / "head.npz", **trained.head)
    model, unseen = audited.load(str(folder)), others[: config.verification_images]
    manifest = {
        "source": config.source.to_dict(),
        "split": split | {"member_images": len(members), "non_member_images": len(others)},
        "labels": config.labels,
        "training": training.to_json(),
        "losses": {
            "first_epoch": trained.losses[0].tolist(),
            "epochs": trained.losses.mean(axis=1).tolist(),
        },
        "verification": lab_images.verify(model, source, unseen, config.workers),
        "neighbour_auditor": lab_leakage.measure(
            model, source, {1: members, 0: others}, config.workers, config.split.seed
        ),
        "sha256": model.sha256,
        **versions.describe(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest) + "\n")


def draw_split(source: Any, split: Mapping[str, Any]) -> dict[str, Any]:
    """A seeded random split: lists of identities or keys, "members" and "non_members"."""
    units = np.unique(_units(source, split["by"]))
    order = np.random.default_rng(split["seed"]).permutation(len(units))
    cut = round(split["members"] * len(units))
    return {
        "by": split["by"],
        "seed": split["seed"],
        "members": np.sort(units[order[:cut]]).tolist(),
        "non_members": np.sort(units[order[cut:]]).tolist(),
    }


def split_rows(source: Any, split: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (m,) of the members' and (n,) of the non-members' images, int64."""
    units = _units(source, split["by"])
    members, others = (
        np.flatnonzero(np.isin(units, split[part])) for part in ("members", "non_members")
    )
    return members, others


def class_labels(source: Any, rows: np.ndarray, kind: str) -> np.ndarray:
    """Training labels 0 .. classes - 1 of `rows`.

    Args:
      source: of the images.
      rows: (n,).
      kind: "identity", or "attributes" for those in UTKFace's file names.

    Raises:
      InputError: another kind, or names of another form.
    """
    if kind == "identity":
        return np.unique(np.asarray(source.identities)[rows], return_inverse=True)[1]
    if kind == "attributes":
        keys = source.keys
        return attributes.attribute_labels([keys[row] for row in rows])
    raise InputError(f'labels is {kind!r}; it must be "identity" or "attributes"')
