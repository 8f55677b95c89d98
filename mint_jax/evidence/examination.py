"""What decides about membership: one auditor, chosen on validation data, beside its rivals.

A rival explains scores without membership: pixels alone, networks that never saw the members,
labels at random. Source of the blind ones: Das et al., arXiv 2406.16201.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mint_jax.baselines import BASELINES
from mint_jax.evidence import fairness, metrics, operating
from mint_jax.evidence.claims import TARGET, Claims, Control, Scored
from mint_jax.evidence.population import Part, Population, Readings
from mint_jax.evidence.protocol import Plan, Protocol, Score

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
        """Which members (S, a) and which others (S, b) each auditor calls members."""
        thresholds = [operating.freeze(scores, fpr) for scores in self.threshold]
        if None in thresholds:
            return None
        bars = np.array(thresholds)[:, None]
        return self.members > bars, self.others > bars


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
        self._observed = self._observe()
        frozen, own = (self._observed["non_members"][name] for name in ("threshold", "test"))
        sides = (frozen, self._observed["members"]["test"], own)
        self._own = Scores(*(part.scores[None] for part in sides))
        self.scores = {"chosen": self._own, **dict(self._rivals())}
        seed = question.plan.seed
        claims = Claims(self._observed, self._controls(), question.matched, seed)
        self.block = {
            "auditor": {
                "kind": kind,
                "layer": layer,
                "size": self._size,
                "validation_auc": dict(question.validation),
            },
            "target_fpr": TARGET,
            "operating_points": claims.operating_points,
            "controls": [row | self._area(row["name"]) for row in claims.controls],
            "gate": claims.gate,
            "headline": claims.headline,
            "baselines": [self._baseline(name) for name in question.baselines],
            "splits": self._splits(),
            "left_out": self._left_out(),
            "robustness": list(self._robustness()),
            **self._fairness(),
            "likelihood": claims.likelihood,
            "people": claims.people,
            "h0_image": claims.h0_image,
        }
        self.auditor = dataclasses.replace(
            auditor, calibration=self._calibration(), meta={"evidence": self._summary()}
        )

    def observed(self) -> dict[str, dict[str, Scored]]:
        """{population: {part: (identities, scores)}} of all that the claims follow from."""
        return self._observed

    def _observe(self) -> dict[str, dict[str, Scored]]:
        members, others = self._sides
        wanted = {
            "members": (members, ("calibration", "test")),
            "non_members": (others, ("threshold", "calibration", "test")),
            "unused": (self.question.unused or {}, ("calibration", "test")),
        }
        return {
            side: {
                name: Scored(part[name].identities, self._score(part[name])[0]) for name in names
            }
            for side, (part, names) in wanted.items()
            if part
        }

    def _calibration(self) -> dict[str, np.ndarray]:
        """Scores that verdicts are ranked among, of the calibration parts.

        "members" and "non_members" give likelihood ratios, "person_NAME" tests H0-person and
        "image_NAME" H0-image; "people_NAME" says whose photos the scores of the same NAME are.
        """
        parts = {side: of_side["calibration"] for side, of_side in self._observed.items()}
        members = parts.pop("members").scores
        for name, part in self.question.further.items():
            parts[name] = Scored(part.identities, self._score(part)[0])
        found = {"members": members, "non_members": parts["non_members"].scores}
        for name, part in parts.items():
            found[f"{'image' if name == 'unused' else 'person'}_{name}"] = part.scores
            found[f"people_{name}"] = part.identities
        return found

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
        people = _people([given or own for given, own in zip((members, others), self._sides)])
        both = np.concatenate([scores.members[:1], scores.others[:1]], axis=1)
        return metrics.evaluate(_labelled(scores), both, people, frozen=scores.threshold[:1])

    def _at_target(self, scores: Scores, others: Population | None = None) -> dict:
        """What the first auditor of `scores` finds at the frozen threshold of the headline.

        Returns:
          {"auc", "auc_ci95", "n_test"} of CELL and {"tpr", "tpr_ci95", "fpr", "fpr_ci95"} of
          `operating.measure`, None where there are too few non-members, with its n of both sides.
        """
        cell = self._cell(scores, None, others)
        people = _people([self._sides[0], others or self._sides[1]])
        both = np.concatenate([scores.members[0], scores.others[0]])
        asked = _labelled(scores), both, people, scores.threshold[0], TARGET
        point = operating.measure(*asked) or {}
        rates = ("tpr", "tpr_ci95", "fpr", "fpr_ci95")
        found = {key: cell[key] for key in ("auc", "auc_ci95", "n_test")}
        return found | {key: point.get(key) for key in rates} | _counts(scores)

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

    def _controls(self) -> list[Control]:
        return [
            Control(name, _TITLES[name], len(scores.members), scores.called(TARGET))
            for name, scores in self.scores.items()
            if name != "chosen"
        ]

    def _area(self, name: str) -> dict:
        """AUC of a control, with the interval of `metrics.over_replicates`."""
        scores = self.scores[name]
        both = np.concatenate([scores.members, scores.others], axis=1)
        return metrics.over_replicates(_labelled(scores), both, _people(self._sides))

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
                key: _shown(part, "audited").rows((part.databases == number) == (key == "test"))
                for key, part in ask.others.items()
            }
            size = min(self._size, 2 * len(others["train"].identities))
            score = self._protocol(others=others, sizes=(size,)).scorer(self._job)
            scores = Scores.read(score, ask.members, others)
            found.append({"database": name} | self._at_target(scores, others))
        return sorted(found, key=lambda row: row["auc"])

    def _robustness(self) -> Iterator[dict]:
        """Queries that were changed, thresholds as they are; then everything prepared anew."""
        ask = self.question
        for reading, words in ask.changes.items():
            sides = [self._score(_shown(side["test"], reading)) for side in self._sides]
            yield {"change": words} | self._at_target(Scores(self._own.threshold, *sides))
        if self._has("same_preparation", self._job[1]):
            score = self._protocol(network="same_preparation").scorer(self._job)
            words = "every image of both sides compressed alike, the auditor trained anew"
            yield {"change": words} | self._at_target(Scores.read(score, *self._sides))

    def _fairness(self) -> dict[str, list[dict]]:
        """False alarms by subgroup, and whether the groups of an attribute differ."""
        calls, people = self._own.called(TARGET), self.question.others["test"].identities
        if calls is None or not self.question.attributes:
            return {"fairness": [], "fairness_tests": []}
        asked = calls[1][0], people, self.question.attributes
        seed = self.question.plan.seed
        return {
            "fairness": fairness.by_group(*asked, seed=seed),
            "fairness_tests": fairness.compare(*asked, seed=seed),
        }

    def _baseline(self, name: str) -> dict:
        about, scores = BASELINES[name], self.question.baselines[name]
        cell, wanted = self._cell(scores), ("auc", "auc_ci95", "tpr_at_fpr", "tpr_at_fpr_ci95")
        found = {"name": name, "title": about.title, "access": about.access}
        return found | {key: cell[key] for key in wanted} | _counts(scores)


def _labelled(scores: Scores) -> np.ndarray:
    return np.repeat([1, 0], [scores.members.shape[1], scores.others.shape[1]])


def _counts(scores: Scores) -> dict[str, int]:
    return {"n_members": scores.members.shape[1], "n_non_members": scores.others.shape[1]}


def _people(sides: Sequence[Population]) -> np.ndarray:
    """Whose the test images of both sides are, members first."""
    return np.concatenate([side["test"].identities for side in sides])


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
