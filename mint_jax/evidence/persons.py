"""Evidence about a person, whose photos are one case and not many.

The photos of a person that were found give one score, which is ranked among people with as many
photos. Several findings are joined by e-values, which may be averaged whatever their dependence
(Vovk and Wang, "E-values: calibration, combination and applications", Annals of Statistics 49,
2021); they are never multiplied here, because photos of one person are not independent.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

_POWER = 0.5  # of the calibrator p -> power * p ** (power - 1)


@dataclass(frozen=True)
class PersonTest:
    """H0: no photo of this person was used for training.

    Attributes:
      p: rank of the person's score among the calibration people's.
      photos: k, how many different photos gave the score.
      people: n, calibration people with at least k photos.
      resolution: 1 / (n + 1), the least p-value.
    """

    p: float
    photos: int
    people: int

    @property
    def resolution(self) -> float:
        return 1 / (self.people + 1)


def person_score(scores: np.ndarray) -> float:
    """One score out of the scores (k,) of a person's photos: the mean of their logits.

    If the photos were independent and the scores calibrated, the sum of the logits would be the log
    likelihood ratio of "all were used" against "none was"; the mean ranks alike for equal k. The
    maximum would let one odd photo decide.

    Raises:
      ValueError: no photos, or scores that are no probabilities.
    """
    if not len(scores):
        raise ValueError("a person without photos has no score")
    return float(_logits(scores).mean())


def pool_duplicates(scores: np.ndarray, groups: Sequence[Hashable]) -> np.ndarray:
    """One score for each group of near-duplicates or re-uploads of one photo: their mean logit's.

    Args:
      scores: (n,) membership probabilities.
      groups: n labels, the same for copies of one photo: of `data_pipelines.duplicates`, or hashes.

    Returns:
      (g,) probabilities in the order in which the groups appear.
    """
    number: dict[Hashable, int] = {}
    rows = np.array([number.setdefault(group, len(number)) for group in groups], int)
    return expit(np.bincount(rows, _logits(scores)) / np.bincount(rows))


def draw_scores(
    scores: np.ndarray, identities: np.ndarray, photos: int, seed: int = 0
) -> dict[int, float]:
    """{person: score of `photos` of their photos}, drawn at random; people with fewer are left out.

    Args:
      scores: (n,) membership probabilities of different photos.
      identities: (n,).
    """
    order = np.random.default_rng(seed).permutation(len(scores))
    rows: dict[int, list[int]] = {}
    for row in order:
        rows.setdefault(int(identities[row]), []).append(row)
    return {
        person: person_score(np.asarray(scores)[own[:photos]])
        for person, own in sorted(rows.items())
        if len(own) >= photos
    }


def rank_person(
    scores: np.ndarray, calibration: np.ndarray, identities: np.ndarray, seed: int = 0
) -> PersonTest:
    """Ranks a person's k different photos among people with at least k photos.

    Args:
      scores: (k,) of the person's photos, copies pooled.
      calibration: (n,) scores of photos of non-members, copies pooled.
      identities: (n,) whose they are.
      seed: of the draw of k photos of each of them.
    """
    others = np.array(list(draw_scores(calibration, identities, len(scores), seed).values()))
    rank = 1 + int(np.sum(others >= person_score(scores)))
    return PersonTest(rank / (len(others) + 1), len(scores), len(others))


def e_value(p: float | np.ndarray) -> np.ndarray:
    """The e-value 0.5 / sqrt(p) of a p-value: its mean under the hypothesis is at most 1.

    It rejects at level alpha where it reaches 1 / alpha (Markov's inequality). A conformal p-value
    comes as low as that with 4 / alpha ** 2 - 1 calibration images at least: 1,599 at 5%.
    """
    return _POWER * np.asarray(p, float) ** (_POWER - 1)


def average(e_values: Sequence[float]) -> float:
    """One e-value of several for one hypothesis, dependent as they may be."""
    return float(np.mean(e_values))


def holm(p_values: Mapping[str, float], alpha: float) -> dict[str, bool]:
    """Which hypotheses, one a model, are rejected with family-wise error alpha.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    rejected, going = {}, True
    for i, name in enumerate(sorted(p_values, key=p_values.get)):
        going = going and p_values[name] <= alpha / (len(p_values) - i)
        rejected[name] = going
    return {name: rejected[name] for name in p_values}


def e_bh(e_values: Mapping[str, float], alpha: float) -> dict[str, bool]:
    """Which hypotheses are rejected with false discovery rate alpha, dependent as they may be.

    Source: Wang and Ramdas, "False discovery rate control with e-values", JRSS B 84 (2022).
    """
    ordered = sorted(e_values, key=e_values.get, reverse=True)
    count = len(ordered)
    able = [i for i, name in enumerate(ordered, 1) if i * e_values[name] >= count / alpha]
    chosen = set(ordered[: max(able, default=0)])
    return {name: name in chosen for name in e_values}


def sibling_rank(published: float, siblings: np.ndarray) -> float:
    """The p-value of one published photo among k of the same shoot that never were published.

    Under the hypothesis that the published one was not used, it and its siblings are exchangeable:
    same person, day, camera and light. No other database comes in. p is at least 1 / (k + 1).

    Args:
      published: score of the photo that may have been used.
      siblings: (k,) scores of the others.

    Raises:
      ValueError: a score that is not a number.
    """
    if np.isnan(published) or np.isnan(siblings).any():
        raise ValueError("a score that is not a number has no rank")
    return (1 + int(np.sum(np.asarray(siblings) >= published))) / (len(siblings) + 1)


def _logits(scores: np.ndarray) -> np.ndarray:
    """Logits (n,) of probabilities; a probability that float32 rounds to 0 or 1 stays finite."""
    scores = np.asarray(scores, float)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a person's score is made of probabilities: scores must be in [0, 1]")
    return logit(np.clip(scores, 1e-7, 1 - 1e-7))
