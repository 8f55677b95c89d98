"""A threshold for each photo by quantile regression on photos that were not used.

A score says little where photos differ more than membership does. Quantile regression predicts
from features of a photo what its score would be at most, had it not been used; what it exceeds that
by is the membership score. Source: Bertran et al., "Scalable membership inference attacks via
quantile regression", arXiv 2307.03694, section 3, here with a linear model.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog


@dataclass(frozen=True)
class QuantileRegression:
    """A linear model of one quantile of a score.

    Attributes:
      mean, scale: (F,) that features are standardised by, x = (feature - mean) * scale.
      coefficients: (F,) of x.
      intercept: of the same.
    """

    mean: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    intercept: float

    def thresholds(self, features: np.ndarray) -> np.ndarray:
        """The quantile (n,) of the scores of non-members with features (n, F)."""
        return (features - self.mean) * self.scale @ self.coefficients + self.intercept

    def excess(self, features: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Scores (n,) less their thresholds: the baseline's score, above 0 where it says member."""
        return np.asarray(scores, float) - self.thresholds(features)


def fit_quantile(
    features: np.ndarray, scores: np.ndarray, level: float, l1: float
) -> QuantileRegression:
    """Minimises mean(pinball loss) + l1 * |coefficients|_1 over standardised features, exactly.

    The dual linear program is solved, max scores . u over level - 1 <= u <= level, sum(u) = 0,
    |x_f . u| <= n l1 for every feature f, whose multipliers are the coefficients: it has one row a
    feature where the primal has one a photo.

    Args:
      features: (n, F) of non-members who serve nothing else: a reference network's embedding, or
        `pixel_features`.
      scores: (n,) of the same photos under the audited model.
      level: of the quantile, 1 - false-alarm rate.
      l1: weight of the penalty; it does not depend on the unit of the scores.

    Raises:
      ValueError: `level` is not between 0 and 1, or `l1` is negative.
    """
    if not 0 < level < 1 or l1 < 0:
        raise ValueError(f"level {level} is not between 0 and 1, or l1 {l1} is negative")
    features, scores = np.asarray(features, float), np.asarray(scores, float)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    scale = 1 / np.where(spread > 0, spread, 1)
    x = (features - mean) * scale
    solved = linprog(
        -scores,
        A_ub=np.concatenate([x.T, -x.T]),
        b_ub=np.full(2 * x.shape[1], l1 * len(x)),
        A_eq=np.ones((1, len(x))),
        b_eq=[0],
        bounds=(level - 1, level),
    )
    above, below = np.split(-solved.ineqlin.marginals, 2)
    return QuantileRegression(mean, scale, above - below, -solved.eqlin.marginals[0])
