"""LiRA: how a photo scores under models that trained on it, and under models that did not.

Source: Carlini et al., "Membership Inference Attacks From First Principles", arXiv 2112.03570,
sections V and VI. They read the logit-scaled confidence of the true class; a network without a head
has none, so any named scalar t(x; M) stands for it, a Gaussian for each photo. The authors' code
takes medians and, where the variance is one for all photos, the spread of all values, which
contains the differences between photos; here means, and the pooled spread about each photo's own.
"""

import numpy as np

from mint_jax.errors import InputError

_OWN_VARIANCE = 32  # models a side; with fewer the paper finds one variance for all photos better


def lira_online(t: np.ndarray, in_mask: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio log p(t | in) - log p(t | out) of each photo, equation 3.

    Args:
      t: (models, n) a scalar of n photos under reference models, none of which is the target.
      in_mask: (models, n) bool, whether a model trained on a photo.
      target: (n,) the scalar under the audited model.

    Returns:
      (n,) float64.

    Raises:
      InputError: a photo that all models or no models trained on, or a scalar without variance.
    """
    mean_in, variance_in = _gaussians(t, np.asarray(in_mask, bool), "with")
    mean_out, variance_out = _gaussians(t, ~np.asarray(in_mask, bool), "without")
    distance_in = (target - mean_in) ** 2 / variance_in + np.log(variance_in)
    distance_out = (target - mean_out) ** 2 / variance_out + np.log(variance_out)
    return (distance_out - distance_in) / 2


def lira_offline(t: np.ndarray, in_mask: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Standard deviations above the models that did not train on a photo, equation 4.

    The paper's score is 1 - Pr[Z > t], the normal distribution function of this number, which ranks
    photos alike and keeps apart those whose probabilities all round to one.

    Args:
      t, in_mask, target: as of `lira_online`; entries under models that trained on a photo are not
        read.

    Returns:
      (n,) float64.

    Raises:
      InputError: a photo that all models trained on, or a scalar without variance.
    """
    mean, variance = _gaussians(t, ~np.asarray(in_mask, bool), "without")
    return (target - mean) / np.sqrt(variance)


def _gaussians(t: np.ndarray, mask: np.ndarray, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Means (n,), and variances (n,) or one for all, of the entries where `mask` holds."""
    counts = mask.sum(axis=0)
    if counts.min() < 1:
        raise InputError(f"LiRA: none of {len(t)} models is {side} photo {counts.argmin()}")
    mean = t.mean(axis=0, where=mask)
    squares, freedom = np.sum((t - mean) ** 2, axis=0, where=mask), counts - 1
    if counts.min() < _OWN_VARIANCE:
        squares, freedom = squares.sum(), freedom.sum()
    if not np.min(squares) > 0:
        raise InputError(f"LiRA: the scalar does not vary between the models {side} a photo")
    return mean, squares / freedom
