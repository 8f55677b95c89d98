"""RMIA: a photo's likelihood ratio against those of photos of the population.

Source: Zarifzadeh, Liu and Shokri, "Low-Cost High-Power Membership Inference Attacks", ICML 2024,
arXiv 2312.03262, sections 2 and 3, offline. Pr(x | M) is the confidence of the true class there; a
network without a head has none, so a named scalar in (0, 1] stands for it: (1 + c) / 2 of a cosine.
"""

import numpy as np

from mint_jax.errors import InputError


def rmia(
    t: np.ndarray,
    in_mask: np.ndarray,
    target: np.ndarray,
    population_t: np.ndarray,
    population_target: np.ndarray,
    *,
    a: float,
    gamma: float = 2.0,
) -> np.ndarray:
    """The share of population photos z that a photo x outdoes, Pr_z[LR(x, z) >= gamma].

    LR(x, z) = (Pr(x | M) / Pr(x)) / (Pr(z | M) / Pr(z)), where Pr(x) is the mean over reference
    models with x and without it. Those with it are not trained: their mean is taken as a times the
    mean without it, plus 1 - a, so that Pr(x) = ((1 + a) Pr_out(x) + 1 - a) / 2; likewise for z.

    Args:
      t: (models, n) in (0, 1], the scalar of n photos under reference models.
      in_mask: (models, n) bool, whether a model trained on a photo; such entries are not read.
      target: (n,) the scalar under the audited model.
      population_t: (models, m), of photos that no model trained on.
      population_target: (m,).
      a: in [0, 1]; the paper chooses it by attacking one reference model with the others.
      gamma: how much more likely than z the target must make x; the paper's 2.

    Returns:
      (n,) float64 in [0, 1], in steps of 1 / m.

    Raises:
      InputError: a photo that all models trained on, or a scalar outside (0, 1].
    """
    for values in (t, target, population_t, population_target):
        if not ((values > 0) & (values <= 1)).all():
            raise InputError("RMIA compares likelihoods: the scalar must be in (0, 1]")
    out = ~np.asarray(in_mask, bool)
    if not out.any(axis=0).all():
        raise InputError(f"RMIA: all models trained on photo {out.any(axis=0).argmin()}")
    ratios = target / _marginal(t.mean(axis=0, where=out), a)
    population = population_target / _marginal(population_t.mean(axis=0), a)
    beaten = np.searchsorted(np.sort(population), ratios / gamma, side="right")
    return beaten / len(population)


def _marginal(out: np.ndarray, a: float) -> np.ndarray:
    return ((1 + a) * out + 1 - a) / 2
