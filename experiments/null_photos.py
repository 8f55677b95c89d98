"""Photos of null models: of members, of the held-out half, and of people in neither half."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.databases.synthetic_faces import SyntheticFaces
from data_pipelines.encoded import digest
from data_pipelines.perturbations import CHANGES
from data_pipelines.sources import Concatenated, Subset
from experiments import extraction, lab_models
from experiments.nulls import Photos
from mint_jax import aad, audited, parallel
from mint_jax.errors import InputError

_ELSEWHERE = {
    "webcam": "photos of the database webcam",
    "archive": "photos of the database archive",
}
SHIFTS = {name: change.words for name, change in CHANGES.items()} | _ELSEWHERE
_BATCH = 64


class Changed:
    """The photos of another source after a change; worker processes look it up by its name."""

    def __init__(self, source: Any, change: str):
        self.source, self.change = source, change
        self.identities = source.identities

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.source[index]
        return item | {"image": CHANGES[self.change].apply(item["image"][None])[0]}

    def fingerprint(self) -> str:
        return digest(self.source.fingerprint(), CHANGES[self.change].words)


def read(config: ConfigDict, folder: Path) -> Photos:
    """Embeddings of everybody, which all processes read; a run that was stopped goes on.

    Args:
      config: see `experiments/configs/null_models.py`.
      folder: of the store of activations.

    Raises:
      InputError: the folder holds other photos, or there are fewer members or photos of each.
    """
    model, sources = audited.load("embedded"), _sources(config)
    everything = Concatenated(list(sources.values()))
    extraction.extract_source(
        model,
        everything,
        folder,
        layers=["outcome"],
        per_device_batch=_BATCH,
        workers=config.workers,
        process_index=parallel.process_index(),
        process_count=parallel.process_count(),
    )
    parallel.barrier("extracted")
    embeddings = aad.open_store(folder).read("outcome", np.arange(len(everything)))
    cuts = np.cumsum([len(source) for source in sources.values()])[:-1]
    found = dict(zip(sources, np.split(embeddings, cuts)))
    by_person = {
        name: found.pop(name).reshape(-1, config.photos, embeddings.shape[1])
        for name in ("members", "non_members", "fresh")
    }
    unused = found.pop("unused")
    changed = {name: found.pop(name) for name in CHANGES}
    return Photos(**by_person, unused=unused, changed=changed, elsewhere=found)


def _sources(config: ConfigDict) -> dict[str, Any]:
    """{population, change or database: photos, person by person}."""
    manifest = lab_models.ground_truth().manifest
    about, split = manifest["source"], manifest["split"]
    people, each = about["identities"], about["images_per_identity"]
    if config.photos > each or config.members > min(
        len(split["members"]), len(split["non_members"])
    ):
        raise InputError(
            f"--config: {config.members} members with {config.photos} photos each; the embedded "
            f"model trained on {len(split['members'])} with {each}"
        )
    pick = _picker(about | {"identities": people + config.fresh, "images_per_identity": each + 1})
    members, used = split["members"][: config.members], range(config.photos)
    fresh = range(people, people + config.fresh)
    found = {
        "members": pick(members, used),
        "non_members": pick(split["non_members"][: config.members], used),
        "fresh": pick(fresh, used),
        "unused": pick(members, [each]),
    }
    found |= {name: Changed(pick(fresh, [0]), name) for name in CHANGES}
    return found | {name: SyntheticFaces(name, 0, config.elsewhere, 1) for name in _ELSEWHERE}


def _picker(about: dict[str, Any]) -> Callable[..., Subset]:
    """Photos of people out of a synthetic database, by the numbers of both."""
    faces, each = lab_models.open_images(about), about["images_per_identity"]
    return lambda people, photos: Subset(
        faces, np.add.outer(each * np.array(people), photos).ravel()
    )
