"""What an audit claims, out of the scores of its auditor and the calls of its controls.

An audit writes these claims down, and whoever verifies its bundle makes them again of the scores in
it, by the same functions. What needs more than scores, such as the AUC of a control, is no claim.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mint_jax.evidence import conformal, likelihood, metrics, operating, persons, replicates

TARGET = 0.01  # the false-alarm rate of the headline
LEVELS = (0.05, 0.01)  # of tests of people and of images
_SIDES = ("members", "non_members")


class Scored(NamedTuple):
    """The images of a part: whose they are (n,), and their scores (n,)."""

    identities: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Control:
    """What a control calls a member, each replicate at its own frozen threshold.

    Attributes:
      name, title: for programs, and in words.
      replicates: S.
      called: (S, a) bool of the members of the test part and (S, b) of its non-members; None where
        there are too few non-members for a threshold.
    """

    name: str
    title: str
    replicates: int
    called: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class Claims:
    """The claims of an audit; each is computed when it is asked for.

    Attributes:
      parts: {"members": {"calibration", "test"}, "non_members": {"threshold", "calibration",
        "test"}, "unused": {"calibration", "test"}}, the last one where it is known.
      rivals: the controls.
      matched: whether the non-members are of the members' own collection.
      seed: of the draws of one image, or of k photos, a person.
      target: the false-alarm rate of controls, gate and headline.
    """

    parts: Mapping[str, Mapping[str, Scored]]
    rivals: Sequence[Control]
    matched: bool
    seed: int
    target: float = TARGET

    @functools.cached_property
    def thresholds(self) -> dict[str, float | None]:
        """{false-alarm rate: threshold}"""
        return thresholds(self.parts["non_members"]["threshold"].scores)

    @functools.cached_property
    def operating_points(self) -> dict[str, dict | None]:
        """{false-alarm rate: `operating.measure`}"""
        members, others = self._tested
        labels = np.repeat([1, 0], [len(members.scores), len(others.scores)])
        people, scores = (np.concatenate(both) for both in zip(members, others))
        frozen = self.parts["non_members"]["threshold"].scores
        return {
            str(fpr): operating.measure(labels, scores, people, frozen, fpr) for fpr in metrics.FPRS
        }

    @functools.cached_property
    def controls(self) -> list[dict]:
        """What each control finds, with intervals as `replicates.rate_interval` makes them.

        Returns:
          [{"name", "title", "replicates", "n_members", "n_non_members", "tpr", "tpr_ci95", "fpr",
          "fpr_ci95", "advantage", "advantage_lower95"}], the last six None where the auditor has no
          operating point.

        Raises:
          ValueError: a control that has not called as many images as there are.
        """
        return [self._control(rival) for rival in self.rivals]

    @functools.cached_property
    def gate(self) -> dict:
        """`operating.gate`"""
        return operating.gate(self._point, self.controls, self.matched, self.target)

    @functools.cached_property
    def headline(self) -> str:
        """`operating.headline`"""
        return operating.headline(self._point, self.controls, self.gate, self.target)

    @functools.cached_property
    def likelihood(self) -> dict:
        """`likelihood.describe` of the test parts, calibrated on one image a person."""
        ratio = likelihood.fit(*(self._one_each(side, "calibration") for side in _SIDES))
        return likelihood.describe(*(part.scores for part in self._tested), ratio)

    @functools.cached_property
    def people(self) -> dict:
        """How often people are rejected, ranked among non-members with as many photos.

        A person gives k photos, as many as half of the people of each part have at least.

        Returns:
          {"k", "persons_calibration", "persons_test", "resolution", "power", "false_alarms":
          {level: RATE}, "conditional": {level: {"power": RATE, "false_alarms": RATE}}}. RATE =
          {"rate", "rate_ci95", "n": people}, None where no p-value is so small; "conditional" is
          of the p-values that hold given the calibration set, which decide about single images.
        """
        calibration, tested = self.parts["non_members"]["calibration"], self._tested
        photos = min(_photos(part.identities) for part in (calibration, *tested))
        others, used, unused = (self._persons(p, photos) for p in (calibration, *tested))
        about = {"k": photos, "persons_calibration": len(others), "persons_test": len(used)}
        return about | _rejections(others, used, unused)

    @functools.cached_property
    def h0_image(self) -> dict | None:
        """How often images of members are rejected, ranked among unused images of other members.

        Returns:
          {"n_calibration", ...} as in `people`, n being images, one a person; None where no unused
          images are known.
        """
        if "unused" not in self.parts:
            return None
        calibration, used, unused = (
            self._one_each(*place)
            for place in (("unused", "calibration"), ("members", "test"), ("unused", "test"))
        )
        return {"n_calibration": len(calibration)} | _rejections(calibration, used, unused)

    @property
    def _tested(self) -> list[Scored]:
        return [self.parts[side]["test"] for side in _SIDES]

    @property
    def _point(self) -> dict | None:
        return self.operating_points[str(self.target)]

    def _control(self, rival: Control) -> dict:
        members, others = self._tested
        found = {"name": rival.name, "title": rival.title, "replicates": rival.replicates}
        found |= {"n_members": len(members.scores), "n_non_members": len(others.scores)}
        measured = ("tpr", "tpr_ci95", "fpr", "fpr_ci95", "advantage", "advantage_lower95")
        if self._point is None or rival.called is None:
            return found | dict.fromkeys(measured)
        for rate, part, called in zip(("tpr", "fpr"), (members, others), rival.called):
            if called.shape != (rival.replicates, len(part.scores)):
                raise ValueError(f"{rival.name} has not called as many images as there are")
            interval = replicates.rate_interval(called, part.identities)
            found |= {rate: float(called.mean()), f"{rate}_ci95": interval}
        own, shares = members.scores > self._point["threshold"], rival.called[0].mean(axis=0)
        return found | operating.paired_advantage(own, shares, members.identities)

    def _one_each(self, population: str, name: str) -> np.ndarray:
        """Scores (p,) of one image of each person of a part."""
        part = self.parts[population][name]
        return part.scores[operating.one_each(part.identities, self.seed)]

    def _persons(self, part: Scored, photos: int) -> np.ndarray:
        """Scores (p,) of the people of a part who have so many photos."""
        drawn = persons.draw_scores(part.scores, part.identities, photos, self.seed)
        return np.array(list(drawn.values()))


def thresholds(scores: np.ndarray) -> dict[str, float | None]:
    """{false-alarm rate: threshold} out of the scores (n,) of a threshold part."""
    return {str(fpr): operating.freeze(scores, fpr) for fpr in metrics.FPRS}


def _photos(identities: np.ndarray) -> int:
    """How many photos half of the people have at least."""
    return int(np.median(np.unique(identities, return_counts=True)[1]))


def _rejections(calibration: np.ndarray, used: np.ndarray, unused: np.ndarray) -> dict:
    """How often a rank among calibration scores rejects, rightly ("power") and wrongly."""
    sides = {"power": used, "false_alarms": unused}
    plain, conditional = (
        {side: _rates(*test, calibration, drawn) for side, drawn in sides.items()}
        for test in (
            (conformal.p_values, conformal.needed),
            (conformal.conditional_p_values, conformal.conditional_needed),
        )
    )
    return {
        "resolution": conformal.resolution(len(calibration)),
        **plain,
        "conditional": {
            level: {side: rates[level] for side, rates in conditional.items()}
            for level in map(str, LEVELS)
        },
    }


def _rates(
    p_values: Callable, needed: Callable, calibration: np.ndarray, drawn: np.ndarray
) -> dict[str, dict | None]:
    """{level: RATE} of one score (n,) of each person; None where calibration is too small."""
    p, found = p_values(calibration, drawn), {}
    for level in LEVELS:
        hits = int(np.sum(p <= level))
        interval = operating.clopper_pearson(hits, len(p))
        rate = {"rate": hits / len(p), "rate_ci95": interval, "n": len(p)}
        found[str(level)] = rate if len(calibration) >= needed(level) else None
    return found
