"""Models of one recipe on random halves of one database, and what they say of its photos.

The design is that of Carlini et al., arXiv 2112.03570, section IV: every photo is in half of the
models. Here the models are pairs of complements, so that the pairs other than a model's own are
such a design too, and independent of that model's half. Where no reference models are wanted, only
the first of each pair is trained.

Models are trained one after the other: two under `vmap` took 1.12 times as long on two CPU cores.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from data_pipelines import audit_set, duplicates, loader
from data_pipelines.sources import Subset
from experiments import lab_images, lab_models, photos
from mint_jax import aad, audited, baselines, lab, parallel
from mint_jax.errors import InputError

_BATCH = 64
_OUTSIDE_BATCH = 16  # of other networks, whose images are larger
_RECIPE = ("source", "screen", "by", "pairs", "strangers", "labels", "training", "seed")


@dataclass(frozen=True)
class Reading:
    """What one model says of all photos, and the truth about it.

    Attributes:
      aad: {name: (n + m, ...) float32}: the outcome, the outcome under each view that the model may
        have been trained with, and the maxima of the conv layers; strangers are the last m rows.
      scalars: {baseline: (n + m,) float32} of `baselines.Scalars`.
      pixels: (n + m, F) of `baselines.pixel_features`.
      identities: (n + m,) people of the photos.
      members: (n,) bool, whether the model trained on a photo.
      classes: (n,) the class of each photo in the head; -1 where nobody of it was trained on.
      head: (classes, D).
    """

    aad: Mapping[str, np.ndarray]
    scalars: Mapping[str, np.ndarray]
    pixels: np.ndarray
    identities: np.ndarray
    members: np.ndarray
    classes: np.ndarray
    head: np.ndarray


class Models:
    """The models of a lab, trained and read where they were not yet.

    Attributes:
      notes: sentences about photos that were left out.
      in_mask: (2 pairs, n) bool, whether a model trains on a photo; rows 2 i and 2 i + 1 are of a
        pair.
      identities: (n,) people of the photos.
      audited: indices of the models that are audited.
      views: names of the views of a photo that training may show, but the photo itself.
    """

    def __init__(self, config: ConfigDict, folder: Path, faces: Path, workers: int):
        """Draws the halves, trains nothing.

        Args:
          config: of a lab; see `experiments/configs/compare_auditors.py`.
          folder: gets a folder of each model.
          faces: gets aligned photos, which labs of one source share.
          workers: Grain worker processes.

        Raises:
          InputError: `folder` belongs to another recipe, or one that cannot be.
        """
        if config.by not in ("image", "identity"):
            raise InputError(f'by is {config.by!r}; it must be "image" or "identity"')
        if config.validation < 1 or config.pairs < config.validation + 2:
            raise InputError(
                f"pairs is {config.pairs}, and {config.validation} of them choose the auditor; one "
                "must at least, and two must be left"
            )
        recipe = ConfigDict({key: config[key] for key in _RECIPE})
        with parallel.process_0_first("claimed"):
            lab_models.claim(recipe, folder / "config.json")
        self._config, self._folder, self._workers = config, folder, workers
        self._extractors: tuple[aad.Extractor, ...] = ()
        source = lab_models.open_images(config.source)
        with parallel.process_0_first("faces"):
            source, self.notes = photos.aligned(source, faces, workers)
            if config.screen:
                source = self._screened(source, faces)
        shares = {"strangers": config.strangers, "study": 1 - config.strangers}
        parts = audit_set.split(np.asarray(source.identities), shares, config.seed)
        self._source = Subset(source, np.concatenate([parts["study"], parts["strangers"]]))
        self._people, n = np.asarray(self._source.identities), len(parts["study"])
        self._labels = lab_models.class_labels(self._source, np.arange(n), config.labels)
        self.identities = self._people[:n]
        self.in_mask = halves(self.identities, config.by, config.pairs, config.seed)
        self.audited = np.arange(0, 2 * config.pairs, 1 if config.references else 2)
        training = config.training
        self.views = aad.training_views(training.flip, training.shift)

    def reading(self, i: int) -> Reading:
        """What model `i` says; one that was stopped while it trained goes on."""
        folder = self._of(i)
        found = _kept(folder / "aad.npz", lambda: self._read(i))
        scalars = {name: values for name, values in found.items() if values.ndim == 1}
        members = self.in_mask[i]
        trained, classes = np.unique(self._labels[members]), self._labels
        places = np.minimum(np.searchsorted(trained, classes), len(trained) - 1)
        return Reading(
            aad={name: values for name, values in found.items() if name not in scalars},
            scalars=scalars,
            pixels=self._pixels,
            identities=self._people,
            members=members,
            classes=np.where(trained[places] == classes, places, -1),
            head=lab_models.class_centres(folder),
        )

    def read_by(self, network: audited.AuditedModel) -> dict[str, np.ndarray]:
        """{AAD: (n + m, ...)} under a network that is none of the lab's, kept under its hash.

        Of the lab's views it reads the mirror image: shifts are in pixels of another input size.
        """

        def read() -> dict[str, np.ndarray]:
            names = _names(network, [view for view in self.views if view == "flip"])
            extractor = aad.make_extractor(network, names, "max", _OUTSIDE_BATCH)
            return self._extract(extractor, f"{network.name} reads")

        return _kept(self._folder / f"{network.sha256[:16]}.npz", read)

    def sha256(self, i: int) -> str:
        """Of the weights of model `i`, which is trained."""
        return json.loads((self._of(i) / "model.json").read_text())["weights_sha256"]

    def losses(self) -> list[float]:
        """The training loss of each audited model's last epoch."""
        files = (self._of(i) / "model.json" for i in self.audited)
        return [json.loads(file.read_text())["info"]["training_loss"] for file in files]

    def _of(self, i: int) -> Path:
        return self._folder / f"{i:02d}"

    def _screened(self, source: Any, faces: Path) -> Any:
        """The source without near-duplicates; which those are is kept beside the faces."""
        path = faces / f"{source.fingerprint()[:16]}.screen.json"
        if path.exists():
            kept = json.loads(path.read_text())
        else:
            kept = duplicates.screen(source, workers=self._workers).kept.tolist()
            path.write_text(json.dumps(kept))
        self.notes.append(f"{len(source) - len(kept)} near-duplicates were left out.")
        return Subset(source, kept)

    def _train(self, i: int) -> None:
        """Leaves the model and, last, its head in its folder; the processes train it together."""
        rows = np.flatnonzero(self.in_mask[i])
        config = lab.TrainConfig(**self._config.training.to_dict() | {"seed": i})
        labels = np.unique(self._labels[rows], return_inverse=True)[1]
        trained = lab.train(config, self._images[rows], labels, workdir=self._of(i))
        if not parallel.process_index():
            audited.save(
                self._of(i),
                architecture=config.architecture,
                variables=trained.variables,
                preprocessing=lab.PREPROCESSING,
                info={"name": f"model {i}", "training_loss": float(trained.losses[-1].mean())},
            )
            np.savez(self._of(i) / "head.npz", **trained.head)
        parallel.barrier("trained")

    @functools.cached_property
    def _images(self) -> np.ndarray:
        size, n = self._config.training.architecture.input_size, len(self.identities)
        return lab_images.divide_reading(self._source, np.arange(n), size, self._workers)

    @functools.cached_property
    def _pixels(self) -> np.ndarray:
        def read() -> dict[str, np.ndarray]:
            batches = loader.batches(self._source, _BATCH, workers=self._workers)
            rows = [baselines.pixel_features(b["image"][b["_mask"]]) for b in batches]
            return {"pixels": np.concatenate(rows)}

        return _kept(self._folder / "pixels.npz", read)["pixels"]

    def _read(self, i: int) -> dict[str, np.ndarray]:
        """{AAD or baseline: (n + m, ...)} under model i."""
        if parallel.agree(not (self._of(i) / "head.npz").exists()):
            self._train(i)
        model, found = audited.load(str(self._of(i))), {}
        self._extractors = self._extractors or self._compile(model)
        for extractor in self._extractors:
            found |= self._extract(extractor.with_variables(model.variables))
        return found

    def _extract(self, extractor: aad.Extractor, title: str | None = None) -> dict[str, np.ndarray]:
        """{name: (n + m, ...)} of all photos, of which each process reads some."""
        count = len(self._source)
        own = parallel.own_rows(count, _BATCH)
        batches = loader.batches(Subset(self._source, own), extractor.chunk, workers=self._workers)
        shown = tqdm(batches, title, unit="batch", disable=title is None)
        found = aad.extract(extractor, shown, len(own))
        parallel.barrier("extracted")
        return {name: parallel.gather_rows(values, count) for name, values in found.items()}

    def _compile(self, model: audited.AuditedModel) -> tuple[aad.Extractor, ...]:
        """Once for all models, which differ in their weights alone."""
        extractor = aad.make_extractor(model, _names(model, self.views), "max", _BATCH)
        return extractor, baselines.Scalars(model, _BATCH)


def _names(model: audited.AuditedModel, views: Sequence[str]) -> list[str]:
    return [*model.layers, *(f"outcome@{view}" for view in views)]


def _kept(path: Path, read: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of a file, which `read()` gives where there is none; process 0 writes it."""
    if parallel.agree(not path.exists()):
        found, partly = read(), path.with_name("partly.npz")
        if not parallel.process_index():
            np.savez(partly, **found)
            partly.rename(path)
        parallel.barrier("kept")
    with np.load(path) as found:
        return dict(found)


def halves(identities: np.ndarray, by: str, pairs: int, seed: int) -> np.ndarray:
    """Pairs of a random half and the other half.

    Args:
      identities: (n,) people of the photos.
      by: "image" for half of every person's photos, "identity" for all photos of half of the
        people.
      pairs: how many; their draws are independent.
      seed: of the draws.

    Returns:
      (2 pairs, n) bool; row 2 i + 1 is the complement of row 2 i.

    Raises:
      InputError: a person with one photo where photos are divided.
    """
    people, person, counts = np.unique(identities, return_inverse=True, return_counts=True)
    if by == "image" and counts.min() < 2:
        raise InputError(f"person {people[counts.argmin()]} has one photo, which has no halves")
    rng, rows = np.random.default_rng(seed), []
    for _ in range(pairs):
        if by == "image":
            half = _half(person, rng)
        else:
            half = _half(np.zeros(len(people), int), rng)[person]
        rows += [half, ~half]
    return np.stack(rows)


def _half(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: half of each of the groups (n,) 0 ..; of an odd one, one more or one less."""
    order = rng.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    own = groups[order]
    rank = np.arange(len(own)) - np.searchsorted(own, own)
    chosen = np.empty(len(groups), bool)
    chosen[order] = (rank + rng.integers(2, size=own[-1] + 1)[own]) % 2 == 0
    return chosen
