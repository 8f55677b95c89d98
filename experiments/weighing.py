"""What a membership score weighs: a p-value, and a likelihood ratio with what it may be wrong by.

Both are of one image, or of k photos of one person, and both are cautious in the same way. Where
several hypotheses say that the image was not used, such as that no image of the person was and that
others were, the largest p-value rejects them all, and the smallest likelihood ratio is at most the
ratio to any mixture of them.

The interval of a likelihood ratio says what drawing other calibration people would change: 95%
between percentiles of a bootstrap over people (Davison and Hinkley, "Bootstrap Methods and their
Application", 1997, 5.3), as Curran et al., "Assessing uncertainty in DNA evidence caused by
sampling effects", Science and Justice 42 (2002), ask for. Every resample is calibrated and cut off
at its empirical bounds anew (`likelihood.fit`), which are themselves no interval: they say how far
the data reach. The sides are drawn apart; where they are photos of the same people, whose scores
go together, that makes the interval too long rather than too short.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mint_jax.evidence import conformal, likelihood
from mint_jax.evidence.likelihood import LikelihoodRatio

_RESAMPLES = 1000
_LEVEL = 0.95


class Scale:
    """Weighs scores of cases of one kind."""

    def __init__(
        self,
        nulls: Sequence[np.ndarray],
        members: np.ndarray,
        alternatives: Sequence[np.ndarray],
        seed: int = 0,
    ):
        """Calibrates the likelihood ratios and their resamples, which takes seconds.

        Args:
          nulls: (n,) scores under each hypothesis that the image was not used, one case a person.
          members: (a,) scores of what was used, one case a person.
          alternatives: (b,) scores under those hypotheses that likelihood ratios are to.
          seed: of the bootstrap.
        """
        self._nulls, self._members = nulls, members
        self._fits = [
            (likelihood.fit(members, others), _resampled(members, others, seed))
            for others in alternatives
        ]

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """(n,) of the hypothesis that it was not used, given the calibration people.

        It holds for 95% of the sets of calibration people (`conformal.conditional_p_values`).
        """
        return np.max([conformal.conditional_p_values(own, scores) for own in self._nulls], axis=0)

    def ratios(self, scores: np.ndarray) -> np.ndarray:
        """(n, 3) likelihood ratios of scores (n,): lower bound, estimate, upper bound."""
        found = [_interval(fitted, resampled, scores) for fitted, resampled in self._fits]
        return 10 ** np.min(found, axis=0).T

    def power(self, alpha: float, least: float) -> float:
        """Share of the members it was calibrated on whom a verdict finds.

        That is, whose p-value is `alpha` at most and whose likelihood ratio has a lower bound of
        `least` at least. Of members the ratios alone know something, by two numbers.
        """
        rare = self.p_values(self._members) <= alpha
        return float(np.mean(rare & (self.ratios(self._members)[:, 0] >= least)))


def _resampled(members: np.ndarray, others: np.ndarray, seed: int) -> LikelihoodRatio:
    """The fits of all resamples as one, whose numbers are arrays (r, 1)."""
    rng = np.random.default_rng(seed)
    fits = []
    for _ in range(_RESAMPLES):
        drawn = (rng.choice(side, len(side)) for side in (members, others))
        fits.append(likelihood.fit(*drawn))
    slope, intercept, *bounds = np.array([(f.slope, f.intercept, *f.bounds) for f in fits]).T
    return LikelihoodRatio(slope[:, None], intercept[:, None], [x[:, None] for x in bounds])


def _interval(
    fitted: LikelihoodRatio, resampled: LikelihoodRatio, scores: np.ndarray
) -> np.ndarray:
    """(3, n) log10 likelihood ratios: lower bound, estimate, upper bound."""
    tail, estimate = (1 - _LEVEL) / 2, fitted.log10(scores)
    low, high = np.quantile(resampled.log10(scores), (tail, 1 - tail), axis=0)
    return np.stack([np.minimum(low, estimate), estimate, np.maximum(high, estimate)])


def adjusted(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values of several hypotheses, each to be compared with the family-wise error.

    That is rejected whose adjusted p-value is at most alpha: what `persons.holm` rejects. Source:
    Wright, "Adjusted p-values for simultaneous inference", Biometrics 48 (1992).
    """
    found, highest = {}, 0.0
    for i, name in enumerate(sorted(p_values, key=p_values.get)):
        highest = max(highest, min(1.0, (len(p_values) - i) * p_values[name]))
        found[name] = highest
    return found
