"""Controls in replicates: networks drawn at random, labels shuffled anew.

All replicates read the same people, so both are resampled, replicates and people, apart from each
other and each with replacement: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1
(2007), which is mildly conservative. Such an interval covers other replicates and other people,
given this model; of S replicates their own part is too short by sqrt(1 - 1 / S), as every bootstrap
of few. A single network is no sample of networks: its interval is over people.
"""

import numpy as np

from mint_jax.evidence import operating
from mint_jax.evidence.resampling import image_weights


def means(values: np.ndarray, seed: int) -> np.ndarray:
    """Means (r,) over replicates that are drawn anew for each of r resamples of the people.

    Args:
      values: (S, r) of each replicate on each resample.
      seed: of the draws of replicates.
    """
    rng = np.random.default_rng((seed, len(values)))  # no stream of the people's draws
    picked = rng.integers(len(values), size=values.shape)
    return np.take_along_axis(values, picked, axis=0).mean(axis=0)


def rate_interval(
    called: np.ndarray, identities: np.ndarray, *, resamples: int = 1000, seed: int = 0
) -> list[float]:
    """The 95% interval of how often replicates call an image a member.

    Args:
      called: (S, n) bool.
      identities: (n,).
      resamples, seed: of the bootstrap.

    Returns:
      [lo, hi], percentiles of the bootstrap; where there is one replicate, or all call the same for
      every image, the exact interval over one image a person.
    """
    if len(called) == 1 or called.all() or not called.any():
        return operating.rate_interval(called[0], identities, seed)
    blocks = image_weights(np.ones(called.shape[1], int), identities, resamples, seed)
    drawn = np.concatenate([called @ w / w.sum(axis=0, dtype=float) for w in blocks], axis=1)
    return [float(x) for x in np.quantile(means(drawn, seed), [0.025, 0.975])]
