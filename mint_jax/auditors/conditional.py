"""What a score says beyond what networks that did not see the image say of it.

Photos differ in how easy they are for any network, and much of the spread of a score is that.
References (the zoo of public models, or networks of the lab) that saw none of the members read the
same score; a linear regression of the audited model's score on theirs is fitted on known
non-members, and what it leaves is the score. A difference between members and non-members that the
references do not share stays whole while the spread shrinks, so that d' grows by 1 / sqrt(1 - R^2).
The thought is that of difficulty calibration: Watson et al., arXiv 2111.08440, section 3, who
subtract the mean of the references.
"""

from dataclasses import dataclass

import numpy as np

from mint_jax.errors import InputError


@dataclass(frozen=True)
class Conditional:
    """A linear prediction of the audited model's score.

    Attributes:
      coefficients: (R,) of the references' scores.
      intercept: of the same.
      r2: the share of the score's variance over the non-members that the references explain,
        adjusted for their number; it may fall below 0.
    """

    coefficients: np.ndarray
    intercept: float
    r2: float

    def residual(self, score: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Scores (n,) less what the references' (n, R) predict; float64, higher is rather member.

        Its mean over the non-members of the fit is 0.
        """
        return np.asarray(score, float) - (references @ self.coefficients + self.intercept)


def fit_conditional(score: np.ndarray, references: np.ndarray, rows: np.ndarray) -> Conditional:
    """Least squares over known non-members; of several solutions the smallest.

    Args:
      score: (n,) under the audited model.
      references: (n, R) the same score under networks that saw none of the members.
      rows: (n,) bool or indices, known non-members, who calibrate and test nothing else.

    Raises:
      InputError: too few non-members for R references, or a score that does not vary.
    """
    y, x = np.asarray(score, float)[rows], np.asarray(references, float)[rows]
    freedom = len(y) - x.shape[1] - 1
    if freedom < 1:
        raise InputError(f"{len(y)} non-members are too few for {x.shape[1]} reference models")
    means, total = x.mean(axis=0), np.sum((y - y.mean()) ** 2)
    if not total > 0:
        raise InputError("the score is the same for all non-members that a regression is fitted on")
    coefficients = np.linalg.lstsq(x - means, y - y.mean())[0]
    left = np.sum((y - y.mean() - (x - means) @ coefficients) ** 2)
    r2 = 1 - (left / freedom) / (total / (len(y) - 1))
    return Conditional(coefficients, float(y.mean() - means @ coefficients), float(r2))
