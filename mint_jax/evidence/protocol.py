"""A protocol: which images stand for members and non-members, and what auditors read there.

`matched` takes both from one random split of one database, which is the truth. `cross_database`
is the paper's: members of the database that the audited model was trained on against images of
other databases (DeAlcala et al., arXiv 2402.09225, section IV).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from mint_jax import auditors
from mint_jax.errors import InputError
from mint_jax.evidence import metrics

CONV_LAYERS = ("conv1", "conv2", "conv3", "conv4")
OUTCOME = "outcome"
_BUILD = {"vanilla": auditors.Vanilla, "cnn": auditors.CNN}
_TABLES = {"vanilla": "table1", "cnn": "table2", "neighbour": "neighbour"}


@dataclass(frozen=True)
class Readings:
    """What one network says of the images of one part; row i of every array is one image.

    Attributes:
      maxima: {layer: (n, C) float32} spatial maxima, `all_conv` and the outcome among them.
      maps: {layer: (n, H, W, C) float32} activation maps; empty where only maxima are needed.
    """

    maxima: Mapping[str, np.ndarray]
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """The images of one part of one population.

    Attributes:
      identities: (n,) int64.
      readings: {network: Readings}; the networks are "audited" and "random_network".
      pixels: (n, F) float32 statistics that no network computed; (0, 0) where not wanted.
    """

    identities: np.ndarray
    readings: Mapping[str, Readings]
    pixels: np.ndarray


Population = Mapping[str, Part]  # by part: bank, train, calibration, test; disjoint identities


@dataclass(frozen=True)
class Plan:
    """How many auditors of which kind a protocol trains.

    Attributes:
      layers: layers of the table of the Vanilla auditor; `all_conv` and `outcome` among them.
      sha256: of the audited model, which exported auditors are bound to.
      sizes: numbers of training samples, half of them members.
      seeds: auditors a cell for Vanilla and neighbour; each draws its own training samples.
      cnn_seeds: the same for CNN; 0 leaves the second table out.
      validation: share of the training samples that early stopping holds out.
      vanilla, cnn, neighbour: keyword arguments of the auditors' configurations.
      seed: seed of the draws.
    """

    layers: Sequence[str]
    sha256: str
    sizes: Sequence[int]
    seeds: int = 5
    cnn_seeds: int = 2
    validation: float = 0.2
    vanilla: Mapping = field(default_factory=dict)
    cnn: Mapping = field(default_factory=dict)
    neighbour: Mapping = field(default_factory=dict)
    seed: int = 0


def draw(
    labels: np.ndarray, identities: np.ndarray, size: int, validation: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `size` training samples, half of them members, and holds out some for validation.

    Whole identities are taken in a random order, so that no identity stands on both sides.

    Args:
      labels: (n,) 1 = member.
      identities: (n,) int64.
      size: number of samples, training and validation together.
      validation: share of them held out.
      seed: of the draw.

    Returns:
      train and validation, each (n,) bool.
    """
    rng = np.random.default_rng([seed, size])
    unique, inverse = np.unique(identities, return_inverse=True)
    rank = rng.permutation(len(unique))[inverse]
    train, held = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(rank[rows], kind="stable")][: size // 2]
        cut = int(len(rows) * (1 - validation))
        begin = int(np.argmax(rank[rows] == rank[rows[cut]]))  # of the identity at the cut
        cut = begin or cut
        train[rows[:cut]], held[rows[cut:]] = True, True
    return train, held


def shuffle_people(labels: np.ndarray, identities: np.ndarray, seed: int) -> np.ndarray:
    """Labels (n,) at random, the same for all images of a person, as many members as before.

    People are taken in a random order until the members are as many images as they were; the
    person at the border may be cut.
    """
    unique, inverse = np.unique(identities, return_inverse=True)
    rank = np.random.default_rng(seed).permutation(len(unique))[inverse]
    shuffled = np.zeros_like(labels)
    shuffled[np.argsort(rank, kind="stable")[: int(labels.sum())]] = 1
    return shuffled


@dataclass
class Outcome:
    """What a protocol found.

    Attributes:
      tables: of the form of `tables.json`: {"table1": {layer: {N: cell}}, "table2", "neighbour"}.
      scores: {"table1/conv1/1000": {"labels": (n,), "scores": (n,)}} of the first seed, on test.
      auditors: {"vanilla_conv1": TrainedAuditor} of the largest N and the first seed.
    """

    tables: dict = field(default_factory=dict)
    scores: dict = field(default_factory=dict)
    auditors: dict = field(default_factory=dict)


@dataclass(frozen=True)
class _Lot:
    """Auditors that are fitted in one call: [(size, seed)], their labels and their parts."""

    cells: list[tuple[int, int]]
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray


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
    ):
        """Prepares a protocol; `run` does the work.

        Args:
          members, others: the two populations; `others` are the non-members of the protocol.
          plan: how many auditors of which kind.
          network: whose readings: "audited" or "random_network".
          sizes: numbers of training samples, instead of the plan's.
          shuffled: whether people get a random label, another one for each seed, before anything
            is trained or put into a bank (a control).
          bystanders: true non-members of the members' own collection, whom no auditor here was
            trained on; the share that auditors call members becomes `false_member_rate`.
          title: of the progress bar; None shows none.
        """
        self._sides = {1: members, 0: others}
        self._plan, self._network, self._sizes = plan, network, tuple(sizes or plan.sizes)
        self._shuffled, self._bystanders, self._title = shuffled, bystanders, title
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

    def jobs(self) -> list[tuple[str, str, int]]:
        """(kind of auditor, layer, seeds) of every row of the plan's tables."""
        plan = self._plan
        jobs = [("vanilla", layer, plan.seeds) for layer in plan.layers]
        if plan.cnn_seeds:
            jobs += [("cnn", layer, plan.cnn_seeds) for layer in CONV_LAYERS]
        return [*jobs, ("neighbour", OUTCOME, plan.seeds)]

    def run(self, jobs: Sequence[tuple[str, str, int]] | None = None) -> Outcome:
        """Trains and tests every auditor of `jobs`; of the whole plan where None."""
        jobs = self.jobs() if jobs is None else jobs
        outcome = Outcome()
        for kind, layer, seeds in tqdm(jobs, self._title, disable=self._title is None):
            lots = list(self._lots(seeds))
            fitted = [self._fit(kind, layer, lot) for lot in lots]
            self._record(outcome, kind, layer, lots, fitted)
        return outcome

    def pixels(self) -> Outcome:
        """The blind control: {"pixels": {N: cell}} of auditors that read pixels and no network."""
        lots = list(self._lots(self._plan.seeds))
        features = {part: self._join(part, lambda p: p.pixels) for part in ("train", "test")}
        fitted = [self._fit_network("vanilla", "pixels", lot, features["train"]) for lot in lots]
        outcome = Outcome({"pixels": {}})
        self._test(outcome, outcome.tables["pixels"], "pixels", lots, fitted, features["test"])
        return outcome

    def _join(self, part: str, read: Callable[[Part], np.ndarray]) -> np.ndarray:
        """Both sides' rows of a part, members first; as many of one side as of the other."""
        return np.concatenate(
            [read(self._sides[label][part])[: self._count[part]] for label in (1, 0)]
        )

    def _truth(self, part: str) -> np.ndarray:
        return np.repeat(np.array([1, 0], np.int32), self._count[part])

    def _labels(self, part: str, seed: int) -> np.ndarray:
        labels = self._truth(part)
        if self._shuffled:
            labels = shuffle_people(labels, self._identities[part], self._plan.seed + seed)
        return labels

    def _read(self, kind: str, layer: str) -> Callable[[Part], np.ndarray]:
        group = "maps" if kind == "cnn" else "maxima"
        return lambda part: getattr(part.readings[self._network], group)[layer]

    def _lots(self, seeds: int) -> Iterator[_Lot]:
        """All auditors of a row in one lot; one lot a seed where each has labels of its own."""
        everybody = range(seeds)
        for group in [(seed,) for seed in everybody] if self._shuffled else [everybody]:
            cells = [(size, seed) for size in self._sizes for seed in group]
            labels = self._labels("train", group[0])
            parts = [
                draw(
                    labels,
                    self._identities["train"],
                    size,
                    self._plan.validation,
                    self._plan.seed + seed,
                )
                for size, seed in cells
            ]
            train, validation = map(np.stack, zip(*parts, strict=True))
            yield _Lot(cells, labels, train, validation)

    def _fit(self, kind: str, layer: str, lot: _Lot) -> Any:
        features = self._join("train", self._read(kind, layer))
        if kind != "neighbour":
            return self._fit_network(kind, layer, lot, features)
        bank = self._join("bank", self._read(kind, layer))
        in_bank = self._labels("bank", lot.cells[0][1])
        return auditors.fit_neighbours(
            features,
            lot.labels,
            bank[in_bank == 1],
            bank[in_bank == 0],
            lot.train | lot.validation,
            auditors.NeighbourConfig(**self._plan.neighbour),
        )

    def _fit_network(self, kind: str, layer: str, lot: _Lot, features: np.ndarray) -> Any:
        options = dict(getattr(self._plan, kind))
        fit = auditors.FitConfig(**options.pop("fit", {}))
        module = _BUILD[kind](layer=layer, **options)
        seeds = [seed for _, seed in lot.cells]
        return auditors.fit_population(
            module, features, lot.labels, lot.train, lot.validation, seeds, fit
        )

    def _record(
        self, outcome: Outcome, kind: str, layer: str, lots: list[_Lot], fitted: list
    ) -> None:
        """Tests the auditors of a row, writes down what they read, and keeps one for export."""
        place = _TABLES[kind] if kind == "neighbour" else f"{_TABLES[kind]}/{layer}"
        read = self._read(kind, layer)
        found = _at(outcome.tables, place)
        rows = self._test(outcome, found, place, lots, fitted, self._join("test", read))
        if self._bystanders is not None:
            called = fitted[0].predict(read(self._bystanders))
            rates = _at(outcome.tables, f"false_member_rate/{place}")
            for size, row in rows.items():
                people = self._bystanders.identities
                rates[str(size)] = metrics.false_member_rate(called[row], people)
        if not self._shuffled:
            row, cell = int(rows[max(rows)][0]), found[str(max(rows))]
            name = kind if kind == "neighbour" else f"{kind}_{layer}"
            outcome.auditors[name] = self._export(read, fitted[0], row, cell)

    def _test(
        self,
        outcome: Outcome,
        found: dict,
        place: str,
        lots: list[_Lot],
        fitted: list,
        features: np.ndarray,
    ) -> dict[int, np.ndarray]:
        """Fills `found` with {N: cell}; returns {N: which of the auditors were trained with N}."""
        labels, people = self._truth("test"), self._identities["test"]
        scores = np.concatenate([population.predict(features) for population in fitted])
        sizes = np.array([size for lot in lots for size, _ in lot.cells])
        rows = {size: np.flatnonzero(sizes == size) for size in self._sizes}
        for size, row in rows.items():
            found[str(size)] = metrics.evaluate(labels, scores[row], people)
            outcome.scores[f"{place}/{size}"] = {"labels": labels, "scores": scores[row[0]]}
        return rows

    def _export(self, read: Callable, population: Any, row: int, cell: dict) -> Any:
        """An auditor of a population with its scores on the calibration part."""
        calibration = {
            name: population.predict(read(self._sides[label]["calibration"]))[row]
            for name, label in (("members", 1), ("non_members", 0))
        }
        return population.auditor(
            row, audited_sha256=self._plan.sha256, calibration=calibration, measured=cell
        )


def _at(tables: dict, place: str) -> dict:
    """The nested dictionary at "a/b/c", made where it is not there."""
    for key in place.split("/"):
        tables = tables.setdefault(key, {})
    return tables
