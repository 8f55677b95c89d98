"""Likelihood ratios of scores, bounded where the calibration data end, and how good they are.

A logistic regression of balanced classes turns scores into log likelihood ratios (Brummer and du
Preez, "Application-independent evaluation of speaker detection", 2006; Morrison, "Tutorial on
logistic-regression calibration and fusion", 2013). Their range is cut off at the empirical bounds
of Vergeer et al., "Numerical likelihood ratios outputted by LR systems are often based on
extrapolation: when to stop extrapolating?", Science and Justice 56 (2016): beyond these the
calibration data cannot tell an LR from a neutral one.

The bounds count cases as if they were independent, and photos of one person are not: calibrate on
one image a person (`operating.one_each`), or the bounds promise more than the people support.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

PRIORS = {"1:1": 1.0, "1:100": 1e-2, "1:10^6": 1e-6}
_RIDGE = 1e-4  # keeps the slope finite where the classes do not overlap
# log10 of the thresholds at which bounds are looked for: 10,000 takes as many independent cases
_GRID = np.linspace(-4, 4, 801)


@dataclass(frozen=True)
class LikelihoodRatio:
    """log10 LR = (intercept + slope * logit(score)) / ln(10), cut off at `bounds`.

    Attributes:
      slope, intercept: of the natural log likelihood ratio; the slope is not negative.
      bounds: (lowest, highest) log10 LR that the calibration data support; (0, 0): none.
    """

    slope: float
    intercept: float
    bounds: tuple[float, float]

    def log10(self, scores: np.ndarray) -> np.ndarray:
        """log10 likelihood ratios (n,) of membership probabilities (n,).

        Raises:
          ValueError: scores that are no probabilities.
        """
        return np.clip(self._unbounded(scores), *self.bounds)

    def to_json(self) -> dict:
        """As a dictionary of JSON values."""
        return asdict(self) | {"bounds": list(self.bounds)}

    @classmethod
    def from_json(cls, found: Mapping) -> "LikelihoodRatio":
        """Of what `to_json` gave."""
        return cls(found["slope"], found["intercept"], tuple(found["bounds"]))

    def _unbounded(self, scores: np.ndarray) -> np.ndarray:
        return (self.intercept + self.slope * _logits(scores)) / np.log(10)


def fit(members: np.ndarray, non_members: np.ndarray) -> LikelihoodRatio:
    """Calibrates likelihood ratios on scores of images that nothing else was done with.

    Where members score lower than non-members every ratio is 1: low scores are no evidence.

    Args:
      members, non_members: (a,) and (b,) membership probabilities, of one image a person.

    Raises:
      ValueError: scores that are no probabilities.
    """
    x = _logits(np.concatenate([members, non_members]))
    y = np.repeat([1.0, 0.0], [len(members), len(non_members)])
    weights = np.where(y == 1, 0.5 / len(members), 0.5 / len(non_members))

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        z = p[0] * x + p[1]
        value = weights @ (np.logaddexp(0, z) - y * z) + _RIDGE / 2 * p[0] ** 2
        residual = weights * (expit(z) - y)
        return value, np.array([residual @ x + _RIDGE * p[0], residual.sum()])

    rising = [(0, None), (None, None)]
    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=rising, tol=1e-12)
    slope, intercept = found.x
    free = LikelihoodRatio(float(slope), float(intercept), (-np.inf, np.inf))
    bounds = elub(free.log10(members), free.log10(non_members))
    return LikelihoodRatio(free.slope, free.intercept, bounds)


def elub(members: np.ndarray, non_members: np.ndarray) -> tuple[float, float]:
    """The empirical lower and upper bounds of log10 likelihood ratios (a,) and (b,).

    With one misleading case added to each side, deciding by the LRs at threshold t must cost less
    than deciding without them; the bounds are the t where that ends, on either side of 0. (0, 0)
    where it costs more at once.
    """
    below = (np.searchsorted(np.sort(members), _GRID, side="right") + 1) / (len(members) + 1)
    above = np.searchsorted(np.sort(non_members), _GRID, side="right")
    above = (len(non_members) - above + 1) / (len(non_members) + 1)
    threshold = 10.0**_GRID  # prior odds of the other side at which one is indifferent
    cost = (below + threshold * above) / np.minimum(1, threshold)
    useful = cost < 1
    middle = len(_GRID) // 2
    if not useful[middle]:
        return 0.0, 0.0
    high = middle + int(np.argmin(np.append(useful[middle:], False))) - 1
    low = middle - int(np.argmin(np.append(useful[middle::-1], False))) + 1
    return float(_GRID[low]), float(_GRID[high])


def cllr(members: np.ndarray, non_members: np.ndarray) -> float:
    """The log-likelihood-ratio cost of log10 LRs (a,) and (b,): 0 is perfect, 1 says nothing."""
    x, y = (np.log(10) * np.asarray(v, float) for v in (members, non_members))
    return float((np.logaddexp(0, -x).mean() + np.logaddexp(0, y).mean()) / (2 * np.log(2)))


def cllr_min(members: np.ndarray, non_members: np.ndarray) -> float:
    """The least `cllr` that any rising map of these values has: what calibration cannot mend.

    The optimal map is that of the pool-adjacent-violators algorithm.
    """
    values = np.concatenate([members, non_members])
    y = np.repeat([1.0, 0.0], [len(members), len(non_members)])
    weights = np.where(y == 1, 0.5 / len(members), 0.5 / len(non_members))
    unique, place = np.unique(values, return_inverse=True)
    total = np.bincount(place, weights)
    share = np.bincount(place, weights * y) / total
    posterior = isotonic_regression(share, weights=total).x[place]
    with np.errstate(divide="ignore"):
        ratios = logit(posterior) / np.log(10)
    return cllr(ratios[y == 1], ratios[y == 0])


def describe(
    members: np.ndarray, non_members: np.ndarray, ratio: LikelihoodRatio
) -> dict[str, object]:
    """What likelihood ratios are worth on test scores (a,) and (b,), image by image.

    Returns:
      {"cllr", "cllr_min", "log10_elub": [lo, hi], "tippett": {"members", "non_members"}: sorted
      log10 LRs, "n_members", "n_non_members", "posterior": [{"prior_odds", "lowest", "highest"}]:
      the range of the probability of membership that an image can reach at stated priors}.
    """
    pair = [np.sort(ratio.log10(scores)) for scores in (members, non_members)]
    return {
        "cllr": cllr(*pair),
        "cllr_min": cllr_min(*pair),
        "log10_elub": list(ratio.bounds),
        "tippett": {k: v.round(4).tolist() for k, v in zip(("members", "non_members"), pair)},
        "n_members": len(pair[0]),
        "n_non_members": len(pair[1]),
        "posterior": _posteriors(ratio.bounds),
    }


def _posteriors(bounds: Sequence[float]) -> list[Mapping[str, object]]:
    rows = []
    for name, odds in PRIORS.items():
        low, high = (float(expit(np.log(odds) + np.log(10) * b)) for b in bounds)
        rows.append({"prior_odds": name, "lowest": low, "highest": high})
    return rows


def _logits(scores: np.ndarray) -> np.ndarray:
    """Logits (n,) of probabilities; a probability that float32 rounds to 0 or 1 stays finite."""
    scores = np.asarray(scores, float)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("likelihood ratios are made of probabilities: scores must be in [0, 1]")
    return logit(np.clip(scores, 1e-7, 1 - 1e-7))
