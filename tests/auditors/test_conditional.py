"""Zoo-conditional scores against scikit-learn and closed-form Gaussians."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from mint_jax.auditors import fit_conditional
from mint_jax.errors import InputError


def _scores(n, references, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, references)) + 2
    return x @ rng.normal(size=references) + 0.5 * rng.normal(size=n) + 1, x


@pytest.mark.parametrize("references", [1, 4])
def test_least_squares(references):
    score, x = _scores(300, references)
    rows = np.arange(300) < 200
    fit = fit_conditional(score, x, rows)
    oracle = LinearRegression().fit(x[rows], score[rows])
    np.testing.assert_allclose(fit.residual(score, x), score - oracle.predict(x), atol=1e-10)
    adjusted = 1 - (1 - oracle.score(x[rows], score[rows])) * 199 / (199 - references)
    assert fit.r2 == pytest.approx(adjusted, abs=1e-12)


def test_references_that_say_the_same():
    score, x = _scores(200, 1)
    once, twice = (fit_conditional(score, np.repeat(x, k, axis=1), slice(None)) for k in (1, 2))
    np.testing.assert_allclose(
        twice.residual(score, np.repeat(x, 2, axis=1)), once.residual(score, x), atol=1e-10
    )


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_discriminability_grows_as_the_closed_form_says(correlation):
    """Two Gaussians of one covariance: d' / sqrt(1 - R^2), AUC = Phi(d' / sqrt(2))."""
    rng, n, d = np.random.default_rng(1), 60000, 0.5
    labels = np.arange(n) % 2
    difficulty = rng.normal(size=n)
    score = correlation * difficulty + np.sqrt(1 - correlation**2) * rng.normal(size=n)
    known, test = np.arange(n) < n // 2, np.arange(n) >= n // 2
    fit = fit_conditional(score + d * labels, difficulty[:, None], known & (labels == 0))
    residual = fit.residual(score + d * labels, difficulty[:, None])
    assert fit.r2 == pytest.approx(correlation**2, abs=0.02)
    expected = norm.cdf(d / np.sqrt(1 - correlation**2) / np.sqrt(2))
    assert roc_auc_score(labels[test], residual[test]) == pytest.approx(expected, abs=0.012)


def test_noise_explains_nothing():
    """The plain R^2 of 20 useless references over 60 images is near 1/3."""
    draws = np.random.default_rng(0).normal(size=(200, 60, 21))
    found = [fit_conditional(x[:, 0], x[:, 1:], slice(None)).r2 for x in draws]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(200)


def test_what_cannot_be_fitted():
    score, x = _scores(10, 8)
    fit_conditional(score, x, slice(None))
    with pytest.raises(InputError, match="9 non-members are too few for 8"):
        fit_conditional(score, x, slice(9))
    with pytest.raises(InputError, match="the same"):
        fit_conditional(np.ones(10), x, slice(None))
