"""Audit sets of `experiments.tables`: an audited model, its known members, and everybody else.

A configuration names one of the functions here (`config.audit_set`); each takes the configuration
and the working directory and returns an `AuditSet`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines import audit_set, duplicates
from data_pipelines.databases.synthetic_faces import SyntheticFaces
from data_pipelines.errors import InputError
from data_pipelines.sources import Concatenated, Subset
from experiments import lab_models, photos
from experiments.configs import lab
from mint_jax import audited

NO_MATCH = (
    "no photos were given that belong to the members' own collection and were held out of "
    "training, so nobody can tell here whether an auditor recognises membership or the database."
)
_IMAGES_PER_PERSON = 4  # of a synthetic external database


@dataclass(frozen=True)
class AuditSet:
    """What is audited, and with which images.

    Attributes:
      model: the audited model M.
      members: source of images that M was trained on.
      non_members: source of images of the same collection that M has not seen, or None where none
        are known.
      externals: {database: source} of the cross-database protocol.
      notes: sentences for the report.
      no_match: why there are no non-members, where there are none.
    """

    model: audited.AuditedModel
    members: Any
    non_members: Any | None
    externals: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)
    no_match: str | None = None


def embedded(config: ConfigDict, workdir: Path) -> AuditSet:
    """The shipped model, its members and non-members, and other synthetic databases."""
    del workdir
    truth = lab_models.ground_truth()
    return AuditSet(
        audited.load("embedded"),
        Subset(truth.source, truth.members),
        Subset(truth.source, truth.non_members),
        _synthetic(config, ("webcam", "archive")),
    )


def folders(config: ConfigDict, workdir: Path) -> AuditSet:
    """A network file and folders of photos, of which the truth may be known or not."""
    model = audited.load(config.onnx)
    notes = []
    members = _photos(config, config.members, workdir, notes)
    others = _photos(config, config.non_members, workdir, notes) if config.non_members else None
    externals = {path: _photos(config, path, workdir, notes) for path in config.externals}
    return AuditSet(model, members, others, externals, notes, None if others else NO_MATCH)


def trained_here(config: ConfigDict, workdir: Path) -> AuditSet:
    """A model that is trained first, on a random half of a folder of photos."""
    notes = []
    faces = _photos(config, config.faces, workdir, notes)
    screen = duplicates.screen(faces, workers=config.workers)
    faces = Subset(faces, screen.kept)
    count = len(screen.dropped)
    notes.append(f"{count} near-duplicates of {config.faces} were dropped before the split.")
    model, truth = lab_models.train_on_part(_training(config), faces, workdir / "audited")
    folders = [path for path in config.externals if path]
    externals = {path: _photos(config, path, workdir, notes) for path in folders}
    return AuditSet(
        model,
        Subset(faces, truth.members),
        Subset(faces, truth.non_members),
        externals | _synthetic(config, ("studio", "webcam", "archive")),
        notes,
    )


def _photos(config: ConfigDict, path: str, workdir: Path, notes: list[str]) -> Any:
    detector = config.detector or None
    source, complaints = photos.aligned(path, workdir / "photos", detector, config.workers)
    notes.extend(complaints)
    return source


def _training(config: ConfigDict) -> ConfigDict:
    """The lab's configuration for a model trained on half of a folder of photos."""
    attributes = config.head == "attributes"
    training = ConfigDict(
        {
            "name": f"IResNet-18 ({config.head}) on half of {Path(config.faces).name}",
            "source": {"kind": "folder", "path": config.faces},
            "split": {"by": "identity", "members": 0.5, "seed": config.seed},
            "labels": "attributes" if attributes else "identity",
            "training": lab.training("softmax" if attributes else config.head),
            "verification_images": 2000,
            "workers": config.workers,
        }
    )
    if config.epochs:
        training.training.epochs = config.epochs
    return training


def _synthetic(config: ConfigDict, databases: Sequence[str]) -> dict[str, SyntheticFaces]:
    """Databases of nobody's faces, each large enough to fill an audit set with the others."""
    images = sum(wanted_images(config).values())
    people = -(-images // (_IMAGES_PER_PERSON * len(databases))) + 4
    return {name: SyntheticFaces(name, 0, people, _IMAGES_PER_PERSON) for name in databases}


def wanted_images(config: ConfigDict) -> dict[str, int]:
    """{part: images} that an audit wants of each population."""
    return {
        "bank": config.bank_images,
        "train": max(config.sizes) // 2,
        "calibration": config.calibration_images,
        "test": config.test_images,
    }


def partition(sources: Sequence[Any], wanted: Mapping[str, int], seed: int) -> dict[str, Any]:
    """Cuts sources into parts with disjoint identities, about as much of each source in each part.

    Args:
      sources: random-access sources; identities of different sources are different people.
      wanted: {part: number of images}. Where there is not enough, the bank gives way first, down to
        a quarter of the images; then all parts shrink alike. A small source is used whole.
      seed: of the cut.

    Returns:
      {part: source}.
    """
    everything, begins = Concatenated(sources), np.cumsum([0, *map(len, sources)])
    rows, missing = {part: [] for part in wanted}, dict(wanted)
    by_size = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    for left, i in zip(range(len(sources), 0, -1), by_size, strict=True):
        quota = {part: -(-count // left) for part, count in missing.items()}
        for part, found in _cut(sources[i], quota, seed).items():
            rows[part].append(found + begins[i])
            missing[part] -= len(found)
    return {part: Subset(everything, np.sort(np.concatenate(rows[part]))) for part in wanted}


def _cut(source: Any, quota: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """{part: rows} of one source, with the quota or as much of it as whole people allow."""
    counts, scale, least = dict(quota), 1.0, len(source) // 4
    while True:
        try:
            kept = {part: int(count * scale) for part, count in counts.items()}
            return audit_set.split(source.identities, kept, seed)
        except InputError:  # people cannot be torn apart, so what fits is found by trying
            if counts["bank"] > least:
                counts["bank"] = max(least, counts["bank"] - 1 - len(source) // 100)
            else:
                scale *= 0.95
