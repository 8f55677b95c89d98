"""Audit sets of `experiments.tables`: an audited model, its known members, and everybody else.

A configuration names one of the functions here (`config.audit_set`); each takes the configuration
and the working directory and returns an `AuditSet`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines import audit_set, duplicates, manifest
from data_pipelines.databases.synthetic_faces import SyntheticFaces
from data_pipelines.errors import InputError
from data_pipelines.sources import Concatenated, Subset, open_source
from experiments import lab_models, photos
from experiments.configs import lab
from mint_jax import aad, audited, parallel

NO_MATCH = (
    "no photos were given that belong to the members' own collection and were held out of "
    "training, so nobody can tell here whether an auditor recognises membership or the database."
)
_IMAGES_PER_PERSON = 3  # of a synthetic external database, as of the embedded model's members
_FRESH = 800  # people of the embedded model's generator beyond those that were split
_UNUSED = 2  # photos of each of its members that it was not trained on


@dataclass(frozen=True)
class AuditSet:
    """What is audited, and with which images.

    Attributes:
      model: the audited model M.
      members: source of images that M was trained on.
      non_members: source of images of the same collection that M has not seen, or None where none
        are known.
      externals: {database: source} of the cross-database protocol.
      member_images: how many images of members there are, of which `members` may be a sample.
      notes: sentences for the report.
      no_match: why there are no non-members, where there are none.
      parts: {"members": {part: source}, ...} where the set is given, and not to be drawn.
      dropped: {key: reason} of images that the screen for near-duplicates left out.
      unused: source of photos that were not trained on, of people who are among `members` and
        have the same identity there; None where none are known.
      head: (classes, D) class centres of M's training, where they are disclosed.
      preparation: {source: {"alignment": words}}, how its photos came to be aligned.
    """

    model: audited.AuditedModel
    members: Any
    non_members: Any | None
    externals: Mapping[str, Any]
    member_images: int
    notes: list[str] = field(default_factory=list)
    no_match: str | None = None
    parts: Mapping[str, Mapping[str, Any]] | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)
    unused: Any | None = None
    head: np.ndarray | None = None
    preparation: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def embedded(config: ConfigDict, workdir: Path) -> AuditSet:
    """The shipped model, its members and non-members, and other synthetic databases.

    The generator renders more people and more photos at will: people who were never split are
    further non-members, and further photos of members are images that were not used.
    """
    del workdir
    truth = lab_models.ground_truth()
    about = dict(truth.manifest["source"])
    people, each = about["identities"], about["images_per_identity"]
    about["identities"] += _FRESH
    faces = lab_models.open_images(about)
    unused = lab_models.open_images(about | {"images_per_identity": each + _UNUSED})
    is_member = np.isin(unused.identities, truth.manifest["split"]["members"])
    photo = np.arange(len(unused)) % unused.images_per_identity
    return AuditSet(
        audited.load("embedded"),
        Subset(faces, truth.members),
        Subset(faces, np.append(truth.non_members, np.arange(people * each, len(faces)))),
        _synthetic(config, ("webcam", "archive")),
        len(truth.members),
        [f"Non-members are the people held out at random and {_FRESH} of the same generator."],
        unused=Subset(unused, np.flatnonzero(is_member & (photo >= each))),
        head=lab_models.class_centres(lab_models.EMBEDDED),
    )


def sources(config: ConfigDict, workdir: Path) -> AuditSet:
    """A network and sources of photos, of which the truth may be known or not."""
    model = audited.load(config.audited)
    opened = {
        side: {spec: _open(config, spec) for spec in config[side] if spec}
        for side in ("members", "non_members", "externals")
    }
    notes = []
    if config.manifest:
        return _rebuilt(config, model, opened, workdir, notes)
    picked = {
        side: {
            spec: _photos(config, spec, source, workdir, notes) for spec, source in found.items()
        }
        for side, found in opened.items()
    }
    kept, dropped = _screened(config, model, picked, notes)
    return AuditSet(
        model,
        _joined(kept["members"]),
        _joined(kept["non_members"]),
        kept["externals"],
        sum(map(len, opened["members"].values())),
        notes,
        None if kept["non_members"] else NO_MATCH,
        dropped=dropped,
        preparation=_preparation(config, [spec for found in opened.values() for spec in found]),
    )


def _rebuilt(
    config: ConfigDict,
    model: audited.AuditedModel,
    opened: Mapping[str, Mapping[str, Any]],
    workdir: Path,
    notes: list[str],
) -> AuditSet:
    """The audit set of a manifest, image by image."""
    given = {s.fingerprint(): s for found in opened.values() for s in found.values()}
    wanted = manifest.databases(config.manifest)
    for entry in wanted:
        if entry["fingerprint"] not in given:
            raise InputError(
                f"{config.manifest}: drawn from {entry['database']}, which is not among the given "
                "sources, or holds other images now, or is prepared otherwise"
            )
    sides = manifest.read(config.manifest, [given[entry["fingerprint"]] for entry in wanted])
    parts = {
        side: {part: _aligned(source, config, workdir, notes) for part, source in found.items()}
        for side, found in sides.items()
    }
    if notes:
        raise InputError(f"{config.manifest}: {notes[0]}")
    joined = {side: Concatenated(list(found.values())) for side, found in parts.items()}
    return AuditSet(
        model,
        joined["members"],
        joined.get("non_members"),
        {"externals": joined["externals"]} if "externals" in joined else {},
        sum(map(len, opened["members"].values())),
        [f"The audit set is that of {config.manifest}."],
        None if "non_members" in joined else NO_MATCH,
        parts,
    )


def trained_here(config: ConfigDict, workdir: Path) -> AuditSet:
    """A model that is trained first, on a random half of a folder of photos."""
    notes = []
    faces = _aligned(_open(config, config.faces), config, workdir, notes)
    screen = duplicates.screen(faces, workers=config.workers)
    keys, faces = faces.keys, Subset(faces, screen.kept)
    count = len(screen.dropped)
    notes.append(f"{count} near-duplicates of {config.faces} were dropped before the split.")
    model, truth = lab_models.train_on_part(_training(config), faces, workdir / "audited")
    externals = {
        spec: _photos(config, spec, _open(config, spec), workdir, notes)
        for spec in config.externals
        if spec
    }
    return AuditSet(
        model,
        Subset(faces, truth.members),
        Subset(faces, truth.non_members),
        externals | _synthetic(config, ("studio", "webcam", "archive")),
        len(truth.members),
        notes,
        dropped={keys[row]: reason for row, reason in screen.dropped.items()},
        head=lab_models.class_centres(workdir / "audited" / "model"),
    )


def _joined(found: Mapping[str, Any]) -> Any | None:
    """One source of several, or None of none."""
    if len(found) > 1:
        return Concatenated(list(found.values()))
    return next(iter(found.values()), None)


def _open(config: ConfigDict, spec: str) -> Any:
    return open_source(
        spec,
        align=config.align,
        antialias=config.antialias,
        detector=config.detector or None,
        quality=config.quality or None,
    )


def _preparation(config: ConfigDict, specs: Sequence[str]) -> dict[str, dict[str, str]]:
    """Packs of aligned faces are taken as they come, unless everything is aligned."""
    packs = ("glint360k:", "tfds:"), (".rec", ".bin")
    came = {spec: spec.startswith(packs[0]) or spec.endswith(packs[1]) for spec in specs}
    always = config.align == "always"
    return {
        spec: {"alignment": "as it came" if pack and not always else "aligned here"}
        for spec, pack in came.items()
    }


def _photos(config: ConfigDict, spec: str, source: Any, workdir: Path, notes: list[str]) -> Any:
    """Aligned photos of a source, at random a few more than an audit wants of it."""
    wanted = sum(wanted_images(config, "externals").values())
    match = dict(zip(config.externals, config.filters)).get(spec) or "*"
    picked = audit_set.pick(source, count=wanted + wanted // 4, match=match, seed=config.seed)
    return _aligned(picked, config, workdir, notes)


def _aligned(source: Any, config: ConfigDict, workdir: Path, notes: list[str]) -> Any:
    with parallel.process_0_first("aligned"):
        faces, complaints = photos.aligned(source, workdir / "photos", config.workers)
    notes.extend(complaints)
    return faces


def _screened(
    config: ConfigDict,
    model: audited.AuditedModel,
    everybody: Mapping[str, Mapping[str, Any]],
    notes: list[str],
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Without near-duplicates, and {key: reason} of these; one on both sides goes on both."""
    places = [(side, spec) for side, found in everybody.items() for spec in found]
    parts = [everybody[side][spec] for side, spec in places]
    sides = np.repeat([side == "members" for side, _ in places], [len(part) for part in parts])
    screen = duplicates.screen(
        Concatenated(parts), sides=sides, embed=_embedder(config, model), workers=config.workers
    )
    kept, begin = {side: {} for side in everybody}, 0
    for (side, spec), part in zip(places, parts):
        rows = screen.kept[(screen.kept >= begin) & (screen.kept < begin + len(part))] - begin
        begin += len(part)
        kept[side][spec] = part if len(rows) == len(part) else Subset(part, rows)
    count = len(screen.dropped)
    notes.append(f"{count} of {begin:,} images were near-duplicates of another and left out.")
    keys = Concatenated(parts).keys
    return kept, {keys[row]: reason for row, reason in screen.dropped.items()}


def _embedder(config: ConfigDict, model: audited.AuditedModel) -> Callable | None:
    """Embeddings for the screen, of a network other than the one under audit."""
    if not config.screen_network:
        return None
    network = audited.load(config.screen_network)
    if network.sha256 == model.sha256:
        raise InputError(
            f"{config.screen_network}: the audited network must not choose its own audit set; "
            "screen_network is one that never saw the members"
        )
    read = aad.make_extractor(network, ["outcome"], per_device_batch=config.per_device_batch)
    return lambda images: read(images)["outcome"]


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
    images = sum(wanted_images(config, "externals").values())
    people = -(-images // (_IMAGES_PER_PERSON * len(databases))) + 4
    return {name: SyntheticFaces(name, 0, people, _IMAGES_PER_PERSON) for name in databases}


def wanted_images(config: ConfigDict, side: str) -> dict[str, int]:
    """{part: images} that an audit wants of a population.

    Non-members alone freeze thresholds.
    """
    wanted = {
        "bank": config.bank_images,
        "train": max(config.sizes) // 2,
        "validation": config.validation_images,
        "threshold": config.threshold_images,
        "calibration": config.calibration_images,
        "test": config.test_images,
    }
    if side == "members":
        del wanted["threshold"]
        wanted["calibration"] = config.calibration_members
    return wanted
