"""What decides about membership: one auditor, chosen on validation data, beside its rivals.

A rival explains scores without membership: pixels alone, networks that never saw the members,
labels at random. Source of the blind ones: Das et al., arXiv 2406.16201.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mint_jax.baselines import BASELINES
from mint_jax.evidence import conformal, fairness, likelihood, metrics, operating, persons
from mint_jax.evidence.protocol import Part, Plan, Population, Protocol, Readings, Score

TARGET = 0.01  # the false-alarm rate of the headline
LEVELS = (0.05, 0.01)  # of tests of people and of images
_MAPS = "cnn"  # auditors that read whole maps: their hundreds of controls would take hours


@dataclass(frozen=True)
class Scores:
    """Scores of S auditors where they decide: (S, m), (S, a) and (S, b).

    Attributes:
      threshold: of non-members who freeze the thresholds.
      members, others: of the test parts.
    """

    threshold: np.ndarray
    members: np.ndarray
    others: np.ndarray

    @classmethod
    def read(cls, score: Score, members: Population, others: Population) -> "Scores":
        """By what `Protocol.scorer` returns."""
        parts = others["threshold"], members["test"], others["test"]
        return cls(*(score(part) for part in parts))

    @classmethod
    def joined(cls, several: Sequence["Scores"]) -> "Scores":
        """Those of several replicates."""
        names = ("threshold", "members", "others")
        return cls(*(np.concatenate([getattr(s, name) for s in several]) for name in names))

    def called(self, fpr: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Shares of the auditors that call each member (a,) and each other (b,) a member."""
        thresholds = [operating.freeze(scores, fpr) for scores in self.threshold]
        if None in thresholds:
            return None
        bars = np.array(thresholds)[:, None]
        return (self.members > bars).mean(axis=0), (self.others > bars).mean(axis=0)

    def aucs(self) -> np.ndarray:
        """(S,)"""
        return np.array([metrics.auc(*pair) for pair in zip(self.members, self.others)])


@dataclass(frozen=True)
class Question:
    """What is asked about one protocol.

    Attributes:
      members, others: the two populations.
      plan: of the auditors.
      validation: {"vanilla/conv1": AUC} on validation data, of which the best is chosen.
      matched: whether `others` are of the members' own collection.
      networks: {control: names of its networks among the readings}, such as {"random_network":
        ("random_network", "random_network_1")}.
      shuffles: how many times labels are shuffled; 0: never.
      changes: {reading: words} of test images that were changed before the audited network read
        them.
      unused: {"calibration": Part, "test": Part} of photos that were not trained on, of the members
        of the part of the same name.
      databases: names of the databases of `others`, as `Part.databases` counts them.
      baselines: {name in `baselines.BASELINES`: its scores}.
      attributes: {attribute: (b,) words} of the test images of `others`, where they are known.
      further: {name: calibration part} of other populations of non-members, whom a verdict about
        an image must be ranked among as well.
    """

    members: Population
    others: Population
    plan: Plan
    validation: Mapping[str, float]
    matched: bool
    networks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shuffles: int = 0
    changes: Mapping[str, str] = field(default_factory=dict)
    unused: Population | None = None
    databases: Sequence[str] = ()
    baselines: Mapping[str, Scores] = field(default_factory=dict)
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)
    further: Mapping[str, Part] = field(default_factory=dict)


_TITLES = {
    "pixels": "pixels alone, no network",
    "random_network": "networks with random weights",
    "other_network": "a network that did not train on the members",
    "shuffled_labels": "labels at random",
}


class Examination:
    """The evidence of one protocol.

    Attributes:
      question: what was asked.
      block: for `tables.json`.
      scores: {"chosen" or a control: its scores}.
      auditor: the chosen one, ready for export.
    """

    def __init__(self, question: Question):
        """Chooses the auditor, trains it and its rivals, and measures them on the test parts."""
        self.question = question
        able = {k: v for k, v in question.validation.items() if not k.startswith(_MAPS)}
        kind, layer = max(able, key=able.get).split("/")
        self._job, self._size = (kind, layer, 1), max(question.plan.sizes)
        self._sides = question.members, question.others
        auditor, self._score = self._protocol().trained(self._job)
        self._own = Scores.read(self._score, question.members, question.others)
        self.scores = {"chosen": self._own}
        self.block = {
            "auditor": {
                "kind": kind,
                "layer": layer,
                "size": self._size,
                "validation_auc": dict(question.validation),
            },
            "target_fpr": TARGET,
            "operating_points": self._operating_points(),
            "controls": [self._control(*rival) for rival in self._rivals()],
            "baselines": [self._baseline(name) for name in question.baselines],
            "splits": self._splits(),
            "left_out": self._left_out(),
            "robustness": list(self._robustness()),
            **self._fairness(),
            "likelihood": self._likelihood(),
            "people": self._people(),
            "h0_image": self._h0_image(),
        }
        self.block |= self._verdict()
        self.auditor = dataclasses.replace(
            auditor, calibration=self._calibration(), meta={"evidence": self._summary()}
        )

    def observed(self) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """{population: {part: (identities, scores)}} of all that the claims follow from."""
        members, others = self._sides
        wanted = {
            "members": (members, ("calibration", "test")),
            "non_members": (others, ("threshold", "calibration", "test")),
            "unused": (self.question.unused or {}, ("calibration", "test")),
        }
        return {
            side: {name: (part[name].identities, self._score(part[name])[0]) for name in names}
            for side, (part, names) in wanted.items()
            if part
        }

    def _calibration(self) -> dict[str, np.ndarray]:
        """Scores that verdicts are ranked among, of the calibration parts.

        "members" and "non_members" give likelihood ratios, "person_NAME" tests H0-person and
        "image_NAME" H0-image; "people_NAME" says whose photos the scores of the same NAME are.
        """
        ask, found = self.question, {}
        others = {"non_members": ask.others["calibration"], **ask.further}
        kinds = [("person", name, part) for name, part in others.items()]
        if ask.unused is not None:
            kinds.append(("image", "unused", ask.unused["calibration"]))
        for kind, name, part in kinds:
            found[f"{kind}_{name}"] = self._score(part)[0]
            found[f"people_{name}"] = part.identities
        members = self._score(ask.members["calibration"])[0]
        return found | {"members": members, "non_members": found["person_non_members"]}

    def _summary(self) -> dict:
        """What stays with the exported auditor: verdicts are worth no more than this."""
        keys = ("target_fpr", "operating_points", "gate", "headline")
        return {key: self.block[key] for key in keys}

    def plotted(self) -> dict[str, dict]:
        """Test scores of the first replicate of each, for plots: {"evidence/pixels": ...}."""
        return {
            f"evidence/{name}": {
                "labels": _labelled(scores),
                "scores": np.concatenate([scores.members[0], scores.others[0]]),
            }
            for name, scores in self.scores.items()
        }

    def _protocol(self, members=None, others=None, **options: Any) -> Protocol:
        ask = self.question
        sizes = options.pop("sizes", (self._size,))
        return Protocol(
            members or ask.members, others or ask.others, ask.plan, sizes=sizes, **options
        )

    def _cell(self, scores: Scores, members=None, others=None) -> dict:
        """CELL of the first auditor of `scores`, on test parts of other populations if given."""
        sides = [(p or own)["test"] for p, own in zip((members, others), self._sides)]
        labels, people = _labelled(scores), np.concatenate([p.identities for p in sides])
        both = np.concatenate([scores.members[:1], scores.others[:1]], axis=1)
        return metrics.evaluate(labels, both, people, frozen=scores.threshold[:1])

    def _operating_points(self) -> dict:
        own, people = self._own, np.concatenate([p["test"].identities for p in self._sides])
        scores = np.concatenate([own.members[0], own.others[0]])
        return {
            str(fpr): operating.measure(_labelled(own), scores, people, own.threshold[0], fpr)
            for fpr in metrics.FPRS
        }

    def _rivals(self) -> Iterator[tuple[str, Scores]]:
        ask, (kind, layer, _) = self.question, self._job
        read = functools.partial(Scores.read, members=ask.members, others=ask.others)
        if ask.members["test"].pixels.size:
            yield "pixels", read(self._protocol().scorer(("pixels", "pixels", 1)))
        for name, networks in ask.networks.items():
            known = [n for n in networks if self._has(n, layer)]
            if known:
                each = [read(self._protocol(network=n).scorer(self._job)) for n in known]
                yield name, Scores.joined(each)
        if ask.shuffles:
            shuffled = self._protocol(shuffled=True)
            yield "shuffled_labels", read(shuffled.scorer((kind, layer, ask.shuffles)))

    def _has(self, network: str, layer: str) -> bool:
        read = self.question.members["test"].readings.get(network)
        return read is not None and (layer == "all_conv" or layer in read.maxima)

    def _control(self, name: str, scores: Scores) -> dict:
        self.scores[name] = scores
        aucs = scores.aucs()
        found = {
            "name": name,
            "title": _TITLES[name],
            "replicates": len(aucs),
            "auc": float(aucs.mean()),
            "auc_range": [float(aucs.min()), float(aucs.max())] if len(aucs) > 1 else None,
            "tpr": None,
            "fpr": None,
            "advantage": None,
            "advantage_lower95": None,
        }
        calls, own = scores.called(TARGET), self._own.called(TARGET)
        if calls is None:
            return found
        people = self.question.members["test"].identities
        paired = operating.paired_advantage(own[0], calls[0], people)
        return found | {"tpr": float(calls[0].mean()), "fpr": float(calls[1].mean())} | paired

    def _splits(self) -> dict:
        """The same auditor where people are kept apart, and where photos are cut at random."""
        ask = self.question
        sides = [by_image(p, ask.plan.seed + i) for i, p in enumerate(self._sides)]
        scores = Scores.read(self._protocol(*sides).scorer(self._job), *sides)
        return {"identity": self._cell(self._own), "image": self._cell(scores, *sides)}

    def _left_out(self) -> list[dict]:
        """Trained without one database and tested on it; the worst first."""
        ask, found = self.question, []
        if len(ask.databases) < 2:
            return []
        for number, name in enumerate(ask.databases):
            others = {
                key: part.rows((part.databases == number) == (key == "test"))
                for key, part in ask.others.items()
            }
            size = min(self._size, 2 * len(others["train"].identities))
            score = self._protocol(others=others, sizes=(size,)).scorer(self._job)
            scores = Scores.read(score, ask.members, others)
            found.append({"database": name} | _at_target(self._cell(scores, None, others)))
        return sorted(found, key=lambda row: row["auc"])

    def _robustness(self) -> Iterator[dict]:
        """Queries that were changed, thresholds as they are; then everything prepared anew."""
        ask = self.question
        for reading, words in ask.changes.items():
            sides = [self._score(_shown(side["test"], reading)) for side in self._sides]
            cell = self._cell(Scores(self._own.threshold, *sides))
            yield {"change": words} | _at_target(cell)
        if self._has("same_preparation", self._job[1]):
            score = self._protocol(network="same_preparation").scorer(self._job)
            words = "every image of both sides compressed alike, the auditor trained anew"
            yield {"change": words} | _at_target(self._cell(Scores.read(score, *self._sides)))

    def _fairness(self) -> dict[str, list[dict]]:
        """False alarms by subgroup, and whether the groups of an attribute differ."""
        calls, people = self._own.called(TARGET), self.question.others["test"].identities
        if calls is None or not self.question.attributes:
            return {"fairness": [], "fairness_tests": []}
        asked = calls[1] > 0, people, self.question.attributes
        seed = self.question.plan.seed
        return {
            "fairness": fairness.by_group(*asked, seed=seed),
            "fairness_tests": fairness.compare(*asked, seed=seed),
        }

    def _baseline(self, name: str) -> dict:
        about, cell = BASELINES[name], self._cell(self.question.baselines[name])
        wanted = ("auc", "auc_ci95", "tpr_at_fpr", "tpr_at_fpr_ci95")
        found = {"name": name, "title": about.title, "access": about.access}
        return found | {key: cell[key] for key in wanted}

    def _likelihood(self) -> dict:
        parts = [side["calibration"] for side in self._sides]
        each = [operating.one_each(part.identities, self.question.plan.seed) for part in parts]
        ratio = likelihood.fit(*(self._score(p)[0][rows] for p, rows in zip(parts, each)))
        return likelihood.describe(self._own.members[0], self._own.others[0], ratio)

    def _people(self) -> dict | None:
        """People of the test parts, ranked among non-members with as many photos."""
        calibration, test = self.question.others["calibration"], [p["test"] for p in self._sides]
        photos = min(map(_photos, (calibration, *test)))
        others = persons.draw_scores(
            self._score(calibration)[0], calibration.identities, photos, self.question.plan.seed
        )
        drawn = [
            persons.draw_scores(scores[0], part.identities, photos, self.question.plan.seed)
            for scores, part in zip((self._own.members, self._own.others), test)
        ]
        ranked = [_values(conformal.p_values, others, side) for side in drawn]
        return {
            "k": photos,
            "persons_calibration": len(others),
            "persons_test": len(drawn[0]),
            "resolution": conformal.resolution(len(others)),
            "power": _rejected(ranked[0], len(others)),
            "false_alarms": _rejected(ranked[1], len(others)),
        }

    def _h0_image(self) -> dict | None:
        """Members' images that were used, ranked among unused images of other members."""
        unused, test = self.question.unused, self.question.members["test"]
        if unused is None:
            return None
        seed = self.question.plan.seed
        calibration, others = (
            self._score(unused[part])[0][operating.one_each(unused[part].identities, seed)]
            for part in ("calibration", "test")
        )
        used = self._own.members[0][operating.one_each(test.identities, seed)]
        return {
            "n_calibration": len(calibration),
            "resolution": conformal.resolution(len(calibration)),
            "power": _rejected(conformal.p_values(calibration, used), len(calibration)),
            "false_alarms": _rejected(conformal.p_values(calibration, others), len(calibration)),
        }

    def _verdict(self) -> dict:
        point, controls = self.block["operating_points"][str(TARGET)], self.block["controls"]
        gate = operating.gate(point, controls, self.question.matched, TARGET)
        return {"gate": gate, "headline": operating.headline(point, controls, gate, TARGET)}


def _photos(part: Part) -> int:
    """How many photos half of the people of a part have at least."""
    return int(np.median(np.unique(part.identities, return_counts=True)[1]))


def _values(function: Callable, *drawn: Mapping[int, float]) -> np.ndarray:
    return function(*(np.array(list(found.values())) for found in drawn))


def _rejected(p: np.ndarray, calibration: int) -> dict[str, dict | None]:
    """{level: {"rate", "rate_ci95"}} of p-values of as many people; None where no p is so small."""
    found = {}
    for level in LEVELS:
        hits = int(np.sum(p <= level))
        interval = operating.clopper_pearson(hits, len(p))
        able = conformal.resolution(calibration) <= level
        found[str(level)] = {"rate": hits / len(p), "rate_ci95": interval} if able else None
    return found


def _labelled(scores: Scores) -> np.ndarray:
    return np.repeat([1, 0], [scores.members.shape[1], scores.others.shape[1]])


def _at_target(cell: Mapping[str, Any]) -> dict:
    """What a cell says at the frozen threshold of the headline."""
    return {
        "auc": cell["auc"],
        "auc_ci95": cell["auc_ci95"],
        "tpr": cell["tpr_at_fpr"][str(TARGET)],
        "fpr": cell["fpr_at_threshold"][str(TARGET)],
        "n_test": cell["n_test"],
    }


def by_image(population: Population, seed: int) -> dict[str, Part]:
    """The same images in parts of the same sizes, cut at random with no regard to people."""
    parts = [_shown(part, "audited") for part in population.values()]
    maxima = [part.readings["audited"].maxima for part in parts]
    whole = Part(
        np.concatenate([part.identities for part in parts]),
        {"audited": Readings({k: np.concatenate([m[k] for m in maxima]) for k in maxima[0]})},
        np.concatenate([part.pixels for part in parts]),
    )
    order = np.random.default_rng(seed).permutation(len(whole.identities))
    ends = np.cumsum([len(part.identities) for part in parts])
    return {
        name: whole.rows(order[end - len(part.identities) : end])
        for name, part, end in zip(population, parts, ends)
    }


def _shown(part: Part, reading: str) -> Part:
    """A part as the audited network read it after a change; without maps."""
    maxima = part.readings[reading].maxima
    return Part(part.identities, {"audited": Readings(maxima)}, part.pixels, part.databases)
