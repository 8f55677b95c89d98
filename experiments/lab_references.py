"""Models of one recipe on random halves of one database, and what they say of its photos.

The design is that of Carlini et al., arXiv 2112.03570, section IV: every photo is in half of the
models. Here the models are pairs of complements, so that the pairs other than a model's own are
such a design too, and independent of that model's half.

Models are trained one after the other: two under `vmap` took 1.12 times as long on two CPU cores.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from data_pipelines import audit_set, loader
from data_pipelines.sources import Subset
from experiments import lab_images, lab_models, photos
from mint_jax import aad, audited, auditors, baselines, lab
from mint_jax.errors import InputError

_BATCH = 64
_BANK = {"bank": 0.6, "train": 0.4}  # of the known people of a neighbour auditor


@dataclass(frozen=True)
class Study:
    """What all models say of all photos.

    Attributes:
      identities: (n,) people of the photos.
      in_mask: (models, n) bool, whether a model trained on a photo; rows 2 i and 2 i + 1 are of a
        pair.
      scalars: {scalar: (models, n)}; higher is rather a member.
      strangers: {scalar: (models, m)} of photos of people in no training; without the scalars that
        read the own class.
    """

    identities: np.ndarray
    in_mask: np.ndarray
    scalars: Mapping[str, np.ndarray]
    strangers: Mapping[str, np.ndarray]


class Models:
    """The models of a configuration, trained and read where they were not yet.

    Attributes:
      notes: sentences about photos that could not be read.
    """

    def __init__(self, config: ConfigDict, workdir: Path):
        """Draws the halves, trains nothing.

        Args:
          config: see `experiments/configs/reference_models.py`.
          workdir: gets aligned photos, and a folder of each model.

        Raises:
          InputError: `workdir` belongs to another configuration, or one that cannot be.
        """
        if config.by not in ("image", "identity"):
            raise InputError(f'by is {config.by!r}; it must be "image" or "identity"')
        if config.pairs < 3:
            raise InputError(f"pairs is {config.pairs}; LiRA's variance takes 2 besides a model's")
        lab_models.claim(config, workdir / "config.json")
        source = lab_models.open_images(config.source)
        source, self.notes = photos.aligned(source, workdir / "photos", config.workers)
        shares = {"strangers": config.strangers, "study": 1 - config.strangers}
        parts = audit_set.split(np.asarray(source.identities), shares, config.seed)
        self._config, self._workdir, self._n = config, workdir, len(parts["study"])
        self._source = Subset(source, np.concatenate([parts["study"], parts["strangers"]]))
        self._identities = np.asarray(self._source.identities)
        people = self._identities[: self._n]
        self._in_mask = halves(people, config.by, config.pairs, config.seed)

    def study(self) -> Study:
        """Readings of all models; one that was stopped while it trained goes on."""
        readings = [self._reading(i) for i in tqdm(range(len(self._in_mask)), "models")]
        scalars = {name: np.stack([reading[name] for reading in readings]) for name in readings[0]}
        return Study(
            self._identities[: self._n],
            self._in_mask,
            {name: t[:, : self._n] for name, t in scalars.items()},
            {name: t[:, self._n :] for name, t in scalars.items() if t.shape[1] > self._n},
        )

    def losses(self) -> list[float]:
        """The training loss of each model's last epoch."""
        files = (self._folder(i) / "model.json" for i in range(len(self._in_mask)))
        return [json.loads(file.read_text())["info"]["training_loss"] for file in files]

    def _folder(self, i: int) -> Path:
        return self._workdir / f"{i:02d}"

    def _reading(self, i: int) -> dict[str, np.ndarray]:
        """{scalar: (n + m,), or (n,) where it reads the own class} under model i."""
        path = self._folder(i) / "readings.npz"
        if not path.exists():
            if not (self._folder(i) / "head.npz").exists():
                self._train(i)
            found = self._read(i)
            partly = path.with_name("partly.npz")
            np.savez(partly, **found)
            partly.rename(path)
        with np.load(path) as found:
            return dict(found)

    def _train(self, i: int) -> None:
        """Leaves the model and, last, its head in its folder."""
        rows = np.flatnonzero(self._in_mask[i])
        config = lab.TrainConfig(**self._config.training.to_dict() | {"seed": i})
        labels = np.unique(self._identities[rows], return_inverse=True)[1]
        trained = lab.train(config, self._images[rows], labels, workdir=self._folder(i))
        audited.save(
            self._folder(i),
            architecture=config.architecture,
            variables=trained.variables,
            preprocessing=lab.PREPROCESSING,
            info={"name": f"model {i}", "training_loss": float(trained.losses[-1].mean())},
        )
        np.savez(self._folder(i) / "head.npz", **trained.head)

    @functools.cached_property
    def _images(self) -> np.ndarray:
        size = self._config.training.architecture.input_size
        return lab_images.read_images(self._source, np.arange(self._n), size, self._config.workers)

    def _read(self, i: int) -> dict[str, np.ndarray]:
        model, found = audited.load(str(self._folder(i))), {}
        for extractor in self._extractors:
            batches = loader.batches(self._source, extractor.chunk, workers=self._config.workers)
            with_own = extractor.with_variables(model.variables)
            aad.extract(with_own, batches, len(self._source), found)
        embeddings = found.pop("outcome")
        centres = lab_models.class_centres(self._folder(i))
        found["neighbour"] = neighbour_scores(
            embeddings, self._identities, self._in_mask[i], self._config.seed
        )
        found["nearest_centre"] = baselines.nearest_centre(embeddings, centres)
        if self._config.by == "image":
            people = self._identities[: self._n]
            own = embeddings[: self._n], centres, np.unique(people, return_inverse=True)[1]
            found["own_centre"] = baselines.own_centre(*own)
            found["own_margin"] = baselines.own_margin(*own)
        return found

    @functools.cached_property
    def _extractors(self) -> tuple[aad.Extractor, ...]:
        """Compiled once: the models differ in their weights alone."""
        model = audited.load(str(self._folder(0)))
        outcome = aad.make_extractor(model, ["outcome"], per_device_batch=_BATCH)
        return outcome, baselines.Scalars(model, _BATCH)


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


def neighbour_scores(
    embeddings: np.ndarray, identities: np.ndarray, members: np.ndarray, seed: int
) -> np.ndarray:
    """Membership probabilities by neighbour auditors that know everything about other people.

    People are cut in two folds; the auditor of each is fitted on the people of the other one, banks
    and training photos of different people.

    Args:
      embeddings: (n + m, D), those of strangers last.
      identities: (n + m,).
      members: (n,) bool, whether the model trained on a photo.
      seed: of the folds, and of banks and training photos.

    Returns:
      (n + m,) float32; of strangers the mean over both auditors.
    """
    n = len(members)
    folds = audit_set.split(identities[:n], {"first": 0.5, "second": 0.5}, seed).values()
    found, strangers = np.empty(len(embeddings), np.float32), []
    for fold, known in zip(folds, reversed(folds)):
        bank, train = (
            known[rows] for rows in audit_set.split(identities[known], _BANK, seed).values()
        )
        auditor = auditors.fit_neighbours(
            embeddings[train],
            members[train].astype(int),
            embeddings[bank[members[bank]]],
            embeddings[bank[~members[bank]]],
            np.ones((1, len(train)), bool),
        )
        rows = np.concatenate([fold, np.arange(n, len(embeddings))])
        scores = auditor.predict(embeddings[rows])[0]
        found[fold] = scores[: len(fold)]
        strangers.append(scores[len(fold) :])
    found[n:] = np.mean(strangers, axis=0)
    return found
