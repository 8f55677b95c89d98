"""A protocol: which images stand for members and non-members, and what auditors read there.

`matched` takes both from one random split of one database, which is the truth. `cross_database`
is the paper's: members of the database that the audited model was trained on against images of
other databases (DeAlcala et al., arXiv 2402.09225, section IV).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from mint_jax import aad, auditors
from mint_jax.auditors import placement
from mint_jax.errors import InputError
from mint_jax.evidence import metrics
from mint_jax.evidence.population import (
    CONV_LAYERS,
    OUTCOME,
    Part,
    Population,
    Readings,
    draw,
    shuffle_people,
)

_BUILD = {"vanilla": auditors.Vanilla, "cnn": auditors.CNN, "pixels": auditors.Vanilla}
_TABLES = {"vanilla": "table1", "cnn": "table2"}

Job = tuple[str, str, int]  # kind of auditor, layer, how many seeds
OnEpoch = Callable[[Job, list[tuple[int, int]], int, np.ndarray], None]
Score = Callable[[Part], np.ndarray]  # scores (S, n) of S auditors for the images of a part


@dataclass(frozen=True)
class Plan:
    """How many auditors of which kind a protocol trains.

    Attributes:
      layers: layers of the table of the Vanilla auditor; `all_conv` and `outcome` among them.
      views: of a photo, beside itself, that the fused auditor compares.
      sha256: of the audited model, which exported auditors are bound to.
      sizes: numbers of training samples, half of them members.
      seeds: auditors a cell but CNN's; each draws its own training samples.
      cnn_seeds: the same for CNN; 0 leaves the second table out.
      validation: share of the training samples that early stopping holds out.
      vanilla, cnn, neighbour, fusion: keyword arguments of the auditors' configurations.
      seed: seed of the draws.
    """

    layers: Sequence[str]
    sha256: str
    sizes: Sequence[int]
    views: Sequence[str] = ("flip",)
    seeds: int = 5
    cnn_seeds: int = 2
    validation: float = 0.2
    vanilla: Mapping = field(default_factory=dict)
    cnn: Mapping = field(default_factory=dict)
    neighbour: Mapping = field(default_factory=dict)
    fusion: Mapping = field(default_factory=dict)
    seed: int = 0

    @property
    def fused(self) -> auditors.FusionConfig:
        """The fused auditor."""
        return auditors.FusionConfig.headless(self.views, **self.fusion)


@dataclass
class Outcome:
    """What a protocol found.

    Attributes:
      tables: of the form of `tables.json`: {"table1": {layer: {N: cell}}, "table2",
        "neighbour", "fusion"}.
      scores: {"table1/conv1/1000": {"labels": (n,), "scores": (n,)}} of the first seed, on test.
      auditors: {"vanilla_conv1": TrainedAuditor} of the largest N and the first seed, where the
        audited network is read and the labels are the true ones.
      validation: {"vanilla/conv1": AUC} of the same auditors on the validation part.
    """

    tables: dict = field(default_factory=dict)
    scores: dict = field(default_factory=dict)
    auditors: dict = field(default_factory=dict)
    validation: dict = field(default_factory=dict)


@dataclass(frozen=True)
class _Lot:
    """Auditors that are fitted in one call, P = len(cells).

    Attributes:
      cells: [(size, seed)].
      labels, train, validation: (P, n) of the rows of the training part.
      bank: (P, b) labels of the bank.
    """

    cells: list[tuple[int, int]]
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    bank: np.ndarray


class Protocol:
    """Auditors of one network between two populations, trained and tested on disjoint people."""

    def __init__(
        self,
        members: Population,
        others: Population,
        plan: Plan,
        *,
        network: str = "audited",
        sizes: Sequence[int] | None = None,
        shuffled: bool = False,
        bystanders: Part | None = None,
        title: str | None = None,
        workdir: Path | None = None,
        on_epoch: OnEpoch | None = None,
    ):
        """Prepares a protocol; `run` does the work.

        Args:
          members, others: the two populations; `others` are the non-members of the protocol.
          plan: how many auditors of which kind.
          network: whose readings.
          sizes: numbers of training samples, instead of the plan's.
          shuffled: whether people get a random label, another one for each seed, before anything
            is trained or put into a bank (a control).
          bystanders: true non-members of the members' own collection, whom no auditor here was
            trained on; the share that auditors call members becomes `false_member_rate`.
          title: of the progress bar; None shows none.
          workdir: folder of checkpoints, from which auditors that were stopped go on.
          on_epoch: called with a job, the sample sizes and seeds [(size, seed)] of some of its
            networks, the epoch that they finished, and their validation losses.
        """
        self._sides = {1: members, 0: others}
        self._plan, self._network, self._sizes = plan, network, tuple(sizes or plan.sizes)
        self._shuffled, self._bystanders, self._title = shuffled, bystanders, title
        self._workdir, self._on_epoch = workdir, on_epoch
        self._count = {
            part: min(len(members[part].identities), len(others[part].identities))
            for part in members
        }
        self._identities = {part: self._join(part, lambda p: p.identities) for part in members}
        if max(self._sizes) > 2 * self._count["train"] or not self._count["test"]:
            raise InputError(
                f"{max(self._sizes)} training samples are asked for, half of them members; of one "
                f"side there are {self._count['train']} for training and {self._count['test']} for "
                "testing: give more images, or smaller sizes, test_images and bank_images"
            )

    def jobs(self) -> list[Job]:
        """Every row of the plan's tables."""
        plan = self._plan
        jobs = [("vanilla", layer, plan.seeds) for layer in plan.layers]
        if plan.cnn_seeds:
            jobs += [("cnn", layer, plan.cnn_seeds) for layer in (*CONV_LAYERS, aad.ALL_CONV)]
        return [*jobs, *((kind, OUTCOME, plan.seeds) for kind in ("neighbour", "fusion"))]

    def run(self, jobs: Sequence[Job] | None = None) -> Outcome:
        """Trains and tests every auditor of `jobs`; of the whole plan where None.

        The job ("pixels", "pixels", seeds) is the blind control, which reads no network.
        """
        jobs = self.jobs() if jobs is None else jobs
        outcome = Outcome()
        for job in tqdm(jobs, self._title, disable=self._title is None):
            self._record(outcome, job)
        return outcome

    def scorer(self, job: Job) -> Score:
        """Trains the auditors of a job; what scores a part by each of them, size by size."""
        return self._fit(job)[1]

    def trained(self, job: Job) -> tuple[auditors.TrainedAuditor, Score]:
        """The first auditor of a job, ready for export, and what scores a part by all of them."""
        population, score, _ = self._fit(job)
        return self._export(population, score, 0), score

    def _join(self, part: str, read: Callable[[Part], Any]) -> Any:
        """Both sides' rows of a part, members first; as many of one side as of the other."""
        count, sides = self._count[part], (read(self._sides[label][part]) for label in (1, 0))
        return jax.tree.map(lambda *x: placement.joined(*(own[:count] for own in x)), *sides)

    def _truth(self, part: str) -> np.ndarray:
        return np.repeat(np.array([1, 0], np.int32), self._count[part])

    def _labels(self, part: str, seed: int) -> np.ndarray:
        labels = self._truth(part)
        if self._shuffled:
            labels = shuffle_people(labels, self._identities[part], self._plan.seed + seed)
        return labels

    def _read(self, kind: str, layer: str) -> Callable[[Part], Any]:
        """What an auditor reads of a part: an array, or {layer: array} where it reads several."""
        if kind == "pixels":
            return lambda part: part.pixels

        def own(part: Part) -> Readings:
            return part.readings[self._network]

        if kind == "fusion":
            return lambda part: {k: own(part).maxima[k] for k in self._plan.fused.layers}
        if kind == "cnn" and layer == aad.ALL_CONV:
            return lambda part: {k: own(part).maps[k] for k in CONV_LAYERS}
        if kind == "cnn":
            return lambda part: own(part).maps[layer]
        return lambda part: own(part).maximum(layer)

    def _lot(self, seeds: int) -> _Lot:
        cells = [(size, seed) for size in self._sizes for seed in range(seeds)]
        labels, bank = (
            np.stack([self._labels(part, seed) for _, seed in cells]) for part in ("train", "bank")
        )
        people, plan = self._identities["train"], self._plan
        parts = [
            draw(own, people, size, plan.validation, plan.seed + seed)
            for own, (size, seed) in zip(labels, cells)
        ]
        train, validation = map(np.stack, zip(*parts, strict=True))
        return _Lot(cells, labels, train, validation, bank)

    def _fit(self, job: Job) -> tuple[Any, Score, _Lot]:
        """The auditors of a job, what scores a part by them, and what they were trained on."""
        kind, layer, seeds = job
        lot, read = self._lot(seeds), self._read(kind, layer)
        fits = {"neighbour": self._fit_neighbours, "fusion": self._fit_fusions}
        population = fits.get(kind, self._fit_networks)(job, lot, self._join("train", read))
        return population, lambda part: population.predict(read(part)), lot

    def _fit_fusions(self, job: Job, lot: _Lot, features: Mapping[str, np.ndarray]) -> Any:
        """The bank's images and the training samples are all known, and serve as both."""
        bank = self._join("bank", self._read(*job[:2]))
        known = {k: np.concatenate([bank[k], features[k]]) for k in features}
        people = np.concatenate([self._identities[part] for part in ("bank", "train")])
        labels = np.concatenate([lot.bank, lot.labels], axis=1)
        rows = np.concatenate([np.ones_like(lot.bank, bool), lot.train | lot.validation], axis=1)
        fused = self._plan.fused
        if self._shuffled:
            return auditors.fit_relabelled_fusions(known, labels, people, rows, fused)
        return auditors.fit_fusions(known, labels[0], people, rows, fused)

    def _fit_neighbours(self, job: Job, lot: _Lot, features: np.ndarray) -> Any:
        bank = self._join("bank", self._read(*job[:2]))
        rows = lot.train | lot.validation
        config = auditors.NeighbourConfig(**self._plan.neighbour)
        if self._shuffled:
            return auditors.fit_relabelled(features, lot.labels, bank, lot.bank, rows, config)
        members, others = (bank[lot.bank[0] == label] for label in (1, 0))
        return auditors.fit_neighbours(features, lot.labels[0], members, others, rows, config)

    def _fit_networks(self, job: Job, lot: _Lot, features: Any) -> Any:
        kind, layer, _ = job
        options = dict(self._plan.vanilla if kind == "pixels" else getattr(self._plan, kind))
        fit = auditors.FitConfig(**options.pop("fit", {}))
        module = _BUILD[kind](layer=layer, **options)
        seeds = [seed for _, seed in lot.cells]

        def on_epoch(which: Sequence[int], epoch: int, losses: np.ndarray) -> None:
            if self._on_epoch is not None:
                self._on_epoch(job, [lot.cells[p] for p in which], epoch, losses)

        return auditors.fit_population(
            module,
            features,
            lot.labels,
            lot.train,
            lot.validation,
            seeds,
            fit,
            on_epoch=on_epoch,
            workdir=self._workdir,
        )

    def _record(self, outcome: Outcome, job: Job) -> None:
        """Tests the auditors of a row, writes down what they read, and keeps one for export."""
        kind, layer, _ = job
        population, score, lot = self._fit(job)
        place = f"{_TABLES[kind]}/{layer}" if kind in _TABLES else kind
        found = _at(outcome.tables, place)
        rows = self._test(outcome, found, place, lot, score)
        largest = rows[max(rows)]
        if self._bystanders is not None:
            called = score(self._bystanders)
            rates = _at(outcome.tables, f"false_member_rate/{place}")
            for size, row in rows.items():
                people = self._bystanders.identities
                rates[str(size)] = metrics.false_member_rate(called[row], people)
        if self._network == "audited" and not self._shuffled and kind != "pixels":
            cell, name = found[str(max(rows))], f"{kind}_{layer}" if kind in _TABLES else kind
            outcome.auditors[name] = self._export(population, score, largest[0], measured=cell)
            outcome.validation[f"{kind}/{layer}"] = self._validate(score, largest)

    def _test(
        self, outcome: Outcome, found: dict, place: str, lot: _Lot, score: Score
    ) -> dict[int, np.ndarray]:
        """Fills `found` with {N: cell}; returns {N: which of the auditors were trained with N}."""
        labels, people = self._truth("test"), self._identities["test"]
        both = [score(self._sides[label]["test"])[:, : self._count["test"]] for label in (1, 0)]
        scores = np.concatenate(both, axis=1)
        held = self._sides[0].get("threshold")
        frozen = None if held is None else score(held)
        sizes = np.array([size for size, _ in lot.cells])
        rows = {size: np.flatnonzero(sizes == size) for size in self._sizes}
        for size, row in rows.items():
            of_row = None if frozen is None else frozen[row]
            found[str(size)] = metrics.evaluate(labels, scores[row], people, frozen=of_row)
            outcome.scores[f"{place}/{size}"] = {"labels": labels, "scores": scores[row[0]]}
        return rows

    def _validate(self, score: Score, rows: np.ndarray) -> float | None:
        """Mean AUC of some of the auditors on the validation part."""
        if "validation" not in self._sides[1]:
            return None
        sides = [score(self._sides[label]["validation"])[rows] for label in (1, 0)]
        return float(np.mean([metrics.auc(*pair) for pair in zip(*sides)]))

    def _export(self, population: Any, score: Score, row: int, **meta: Any) -> Any:
        """An auditor of a population with its scores on the calibration part."""
        calibration = {
            name: score(self._sides[label]["calibration"])[row]
            for name, label in (("members", 1), ("non_members", 0))
        }
        return population.auditor(
            int(row), audited_sha256=self._plan.sha256, calibration=calibration, **meta
        )


def _at(tables: dict, place: str) -> dict:
    """The nested dictionary at "a/b/c", made where it is not there."""
    for key in place.split("/"):
        tables = tables.setdefault(key, {})
    return tables
