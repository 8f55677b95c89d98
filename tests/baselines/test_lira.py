"""LiRA where the likelihood ratio is known."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mint_jax.baselines import lira_offline, lira_online
from mint_jax.errors import InputError


def _exact(rng, models, mean, deviation):
    """(models, n) with exactly these means and standard deviations in each column."""
    t = rng.standard_normal((models, len(mean)))
    return mean + deviation * (t - t.mean(0)) / t.std(0, ddof=1)


def _case(models, spread):
    """Half of the models with each photo; {with: mean, deviation}; target."""
    rng, n = np.random.default_rng(0), 50
    means = {True: rng.normal(1, 2, n), False: rng.normal(0, 2, n)}
    deviations = {side: rng.uniform(1 - spread, 1 + spread, n) for side in means}
    t = np.concatenate([_exact(rng, models // 2, means[s], deviations[s]) for s in means])
    in_mask = np.repeat([[True], [False]], models // 2, axis=0) * np.ones((1, n), bool)
    order = rng.permuted(np.arange(models)[:, None] * np.ones((1, n), int), axis=0)
    shuffled = [np.take_along_axis(x, order, axis=0) for x in (t, in_mask)]
    return (*shuffled, rng.normal(0.5, 2, n)), means, deviations


def test_from_64_models_on_each_photo_has_its_own_variance():
    arrays, mean, deviation = _case(64, 0.5)
    target = arrays[2]
    with_it, without = (norm(mean[s], deviation[s]) for s in (True, False))
    expected = with_it.logpdf(target) - without.logpdf(target)
    np.testing.assert_allclose(lira_online(*arrays), expected, rtol=1e-9)
    np.testing.assert_allclose(norm.cdf(lira_offline(*arrays)), without.cdf(target), rtol=1e-9)


def test_with_fewer_models_one_variance_serves_all_photos():
    arrays, mean, deviation = _case(16, 0.5)
    target, pooled = arrays[2], {s: np.sqrt(np.mean(d**2)) for s, d in deviation.items()}
    with_it, without = (norm(mean[s], pooled[s]) for s in (True, False))
    expected = with_it.logpdf(target) - without.logpdf(target)
    np.testing.assert_allclose(lira_online(*arrays), expected, rtol=1e-9)
    np.testing.assert_allclose(norm.cdf(lira_offline(*arrays)), without.cdf(target), rtol=1e-9)


@pytest.mark.parametrize("function", [lira_online, lira_offline])
def test_the_auc_of_gaussians(function):
    """N(m + d, 1) of members, N(m, 1) of others: AUC = Phi(d / sqrt(2)), whatever m is."""
    rng, n, d = np.random.default_rng(1), 8000, 1.0
    difficulty = rng.normal(0, 10, n)
    in_mask = rng.permuted(
        np.repeat([[True], [False]], 200, axis=0) * np.ones((1, n), bool), axis=0
    )
    labels = np.arange(n) % 2
    t = difficulty + d * in_mask + rng.standard_normal((400, n))
    target = difficulty + d * labels + rng.standard_normal(n)
    assert roc_auc_score(labels, target) < 0.56
    found = roc_auc_score(labels, function(t, in_mask, target))
    assert found == pytest.approx(norm.cdf(d / np.sqrt(2)), abs=0.012)


def test_offline_reads_no_model_that_trained_on_the_photo():
    (t, in_mask, target), *_ = _case(16, 0)
    spoiled = np.where(in_mask, 9 - t, t)
    np.testing.assert_array_equal(
        lira_offline(spoiled, in_mask, target), lira_offline(t, in_mask, target)
    )
    assert not np.allclose(lira_online(spoiled, in_mask, target), lira_online(t, in_mask, target))


def test_what_has_no_gaussian_is_refused():
    t, target = np.arange(8.0).reshape(4, 2) ** 2, np.zeros(2)
    in_mask = np.array([[1, 1], [1, 0], [0, 0], [0, 0]], bool)
    lira_online(t, in_mask, target)
    in_mask[1:, 1] = True
    with pytest.raises(InputError, match="none of 4 models is without photo 1"):
        lira_offline(t, in_mask, target)
    with pytest.raises(InputError, match="none of 4 models is with photo 0"):
        lira_online(t, np.zeros((4, 2), bool), target)
    with pytest.raises(InputError, match="does not vary"):
        lira_offline(np.ones((4, 2)), np.zeros((4, 2), bool), target)
