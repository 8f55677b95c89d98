"""Quantile regression against scikit-learn, and on scores whose quantile is known."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import QuantileRegressor
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from mint_jax.baselines import fit_quantile


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize("l1", [0, 0.02, 10])
def test_against_scikit_learn(level, l1):
    rng = np.random.default_rng(0)
    features = rng.normal(2, [1, 3, 0.1, 5], (300, 4))
    scores = features @ [1, 0, 3, 0.1] + rng.standard_normal(300) * np.abs(features[:, 0])
    x = StandardScaler().fit_transform(features)
    oracle = QuantileRegressor(quantile=level, alpha=l1, solver="highs").fit(x, scores)
    found = fit_quantile(features, scores, level, l1)
    np.testing.assert_allclose(found.coefficients, oracle.coef_, atol=1e-8)
    np.testing.assert_allclose(found.thresholds(features), oracle.predict(x), atol=1e-8)
    assert (l1 == 10) == (not found.coefficients.any())


def test_the_quantile_of_scores_that_spread_by_a_feature():
    """Scores N(0, w^2) of photos with feature w: the 90% quantile is 1.28 w."""
    rng = np.random.default_rng(1)
    width = rng.uniform(1, 3, 4000)
    fitted = fit_quantile(width[:, None], width * rng.standard_normal(4000), 0.9, 0)
    expected = norm.ppf(0.9) * np.array([1, 2, 3])
    np.testing.assert_allclose(fitted.thresholds(np.array([[1.0], [2], [3]])), expected, atol=0.15)


def test_it_finds_members_whom_one_threshold_does_not():
    """Difficulty spreads scores by 5, membership raises them by 1."""
    rng = np.random.default_rng(2)
    difficulty, labels = rng.normal(0, 5, 3000), np.repeat([0, 0, 1], 1000)
    scores, features = difficulty + rng.normal(0, 0.5, 3000) + labels, difficulty[:, None]
    fitted = fit_quantile(features[:1000], scores[:1000], 0.99, 0)
    excess = fitted.excess(features, scores)[1000:]
    assert roc_auc_score(labels[1000:], scores[1000:]) < 0.6
    expected = norm.cdf(1 / (0.5 * np.sqrt(2)))
    assert roc_auc_score(labels[1000:], excess) == pytest.approx(expected, abs=0.02)
    assert np.mean(excess[:1000] > 0) == pytest.approx(0.01, abs=0.01)


def test_the_unit_of_scores_and_a_feature_without_variance_change_nothing():
    rng = np.random.default_rng(3)
    features = np.concatenate([rng.normal(size=(200, 2)), np.ones((200, 1))], axis=1)
    scores = features[:, 0] + rng.normal(size=200)
    one, thousand = (fit_quantile(features, k * scores, 0.8, 0.05) for k in (1, 1000))
    np.testing.assert_allclose(1000 * one.coefficients, thousand.coefficients, atol=1e-6)
    assert one.coefficients[0] > 0 and one.coefficients[2] == 0


@pytest.mark.parametrize("level, l1", [(0, 0), (1, 0), (0.5, -1)])
def test_what_is_no_quantile_is_refused(level, l1):
    with pytest.raises(ValueError, match="level"):
        fit_quantile(np.zeros((3, 1)), np.zeros(3), level, l1)
