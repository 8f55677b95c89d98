"""Conformal p-values of one image under two hypotheses, and what they are worth.

H0-person: no image of this person is in the training set; calibrated on non-member people.
H0-image: this image is not in it; calibrated on unused images of people who are members. It is
tested only once H0-person is rejected (fixed-sequence testing keeps the level).

A p-value ranks a score among calibration scores that are exchangeable with it if the hypothesis is
true (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005). It holds on
average over calibration sets; the calibration-conditional one holds for all but 5% of them (Bates
et al., "Testing for outliers with conformal p-values", arXiv 2104.08279).

Calibration images must be one a person (`operating.one_each`), as the query is of yet another
person: of m people with c images each that score alike, the query beats all with probability
1 / (m + 1), where a rank among the images would say 1 / (m c + 1).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import gammaln

H0_PERSON = "No image of this person was used for training."
H0_IMAGE = "This image was not used for training."
_CONFIDENCE = 0.95


def p_values(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(1 + number of calibration scores that are as large) / (n + 1), for each score (m,).

    Args:
      calibration: (n,) scores under the hypothesis; ties count against rejection.
      scores: (m,).

    Raises:
      ValueError: a score that is not a number.
    """
    return _rank(np.sort(calibration), scores) / (len(calibration) + 1)


def randomised_p_values(calibration: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """p-values (m,) that are uniform under the hypothesis, for tests of the calibration itself."""
    ordered = np.sort(calibration)
    more = len(ordered) - np.searchsorted(ordered, scores, side="right")
    tied = _rank(ordered, scores) - more
    u = np.random.default_rng(seed).random(len(tied))
    return (more + u * tied) / (len(ordered) + 1)


def conditional_p_values(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """p-values (m,) that hold given the calibration set, for 95% of the sets.

    The false-alarm rate of the threshold at the r-th largest calibration score is the r-th uniform
    order statistic. All n of them stay below b_1, ..., b_n at once with probability 95%
    (generalised Simes inequality with k = n / 2, section 3.3 of Bates et al.), so b_r takes the
    place of the r-th p-value. Of 1,000 calibration images the least is .006 instead of .001; levels
    of 5% and 1% take 118 and 598 images instead of 19 and 99 (`conditional_needed`).
    """
    return _simes(len(calibration))[_rank(np.sort(calibration), scores) - 1]


def resolution(n: int) -> float:
    """The least p-value that n calibration images can give."""
    return 1 / (n + 1)


def needed(alpha: float) -> int:
    """How many calibration images a level takes, on average over calibration sets."""
    return math.ceil(1 / alpha - 1e-9) - 1


def conditional_needed(alpha: float) -> int:
    """How many calibration images a level below 95% takes, given the calibration set.

    The least of `conditional_p_values` is 1 - .05 ** (1 / k), k = n / 2 rounded down.
    """
    return 2 * math.ceil(math.log1p(-_CONFIDENCE) / math.log1p(-alpha) - 1e-9)


@dataclass(frozen=True)
class Test:
    """A hypothesis that was tested, or why it was not.

    Attributes:
      hypothesis: in words.
      verdict: "rejected", "not rejected", "not tested" or "no verdict".
      reason: why there is no verdict, or no test; None elsewhere.
      p, conditional_p: the largest over the calibration populations.
      population: whose conditional p-value that is.
      n: its images.
      resolution: the least p-value that it can give.
    """

    hypothesis: str
    verdict: str
    reason: str | None = None
    p: float | None = None
    conditional_p: float | None = None
    population: str | None = None
    n: int | None = None
    resolution: float | None = None

    def to_json(self) -> dict:
        """As a dictionary of JSON values."""
        return asdict(self)


def image_evidence(
    score: float,
    people: Mapping[str, np.ndarray],
    images: Mapping[str, np.ndarray],
    alpha: float,
    unsupported: str | None = None,
) -> dict[str, Test]:
    """Tests both hypotheses about one image.

    Args:
      score: of the image.
      people: {population: (n,) scores of non-members, one image a person}, for H0-person.
      images: {population: (n,) scores of unused images of members, one a person}, for H0-image.
      alpha: level of each test; the calibration-conditional p-value decides.
      unsupported: why the image is outside of what was calibrated, if it is.

    Returns:
      {"h0_person": Test, "h0_image": Test}.

    Raises:
      ValueError: a score that is not a number.
    """
    if unsupported:
        tests = (Test(h, "no verdict", unsupported) for h in (H0_PERSON, H0_IMAGE))
        return dict(zip(("h0_person", "h0_image"), tests))
    person = _test(H0_PERSON, score, people, alpha)
    if person.verdict == "rejected":
        image = _test(H0_IMAGE, score, images, alpha)
    else:
        reason = "It is tested only where the hypothesis about the person is rejected."
        image = Test(H0_IMAGE, "not tested", reason)
    return {"h0_person": person, "h0_image": image}


def _test(
    hypothesis: str, score: float, populations: Mapping[str, np.ndarray], alpha: float
) -> Test:
    if not populations:
        return Test(hypothesis, "no verdict", "No images are known that it could be calibrated on.")
    found = {}
    for name, calibration in populations.items():
        one = np.array([score])
        conditional = float(conditional_p_values(calibration, one)[0])
        found[name] = conditional, float(p_values(calibration, one)[0]), len(calibration)
    name = max(found, key=found.get)
    conditional, p, n = found[name]
    least = max(float(_simes(size)[0]) for _, _, size in found.values())
    measured = {"p": max(f[1] for f in found.values()), "conditional_p": conditional}
    measured |= {"population": name, "n": n, "resolution": resolution(n)}
    if least > alpha:
        reason = f"So few calibration images cannot reject at {alpha:g}: {least:.2g} is the least."
        return Test(hypothesis, "no verdict", reason, **measured)
    return Test(hypothesis, "rejected" if conditional <= alpha else "not rejected", **measured)


def _rank(ordered: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """1 + number of calibration scores, in rising order, that are at least as large: (m,)."""
    if np.isnan(scores).any() or np.isnan(ordered).any():
        raise ValueError("a score that is not a number has no rank")
    return 1 + len(ordered) - np.searchsorted(ordered, np.asarray(scores), side="left")


def _simes(n: int) -> np.ndarray:
    """b_1, ..., b_n, 1: bounds of the uniform order statistics that hold together at 95%."""
    k = max(1, n // 2)
    i = np.arange(n, 0, -1)
    with np.errstate(invalid="ignore"):
        falling = gammaln(i + 1) - gammaln(i - k + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    power = np.where(i >= k, np.exp((np.log1p(-_CONFIDENCE) + falling) / k), 0.0)
    return np.append(1 - power, 1.0)
