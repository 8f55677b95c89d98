"""Likelihood ratios against closed forms of Gaussian scores and scikit-learn."""

import json

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from mint_jax.evidence import likelihood


def _scores(n, distance, seed=0, members=None):
    """Probabilities whose logits are unit Gaussians; the true ln LR is distance * x."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=members or n) + distance / 2
    b = rng.normal(size=n) - distance / 2
    return expit(a), expit(b)


@pytest.mark.parametrize("members", [20_000, 5_000])  # the ratio does not hang on the shares
def test_gaussian_scores_give_the_known_ratio(members):
    ratio = likelihood.fit(*_scores(20_000, 1.5, members=members))
    assert ratio.slope == pytest.approx(1.5, rel=0.05)
    assert ratio.intercept == pytest.approx(0, abs=0.05)
    assert ratio.log10(expit(np.array([0.6])))[0] == pytest.approx(0.9 / np.log(10), abs=0.03)


def test_a_system_that_says_nothing_costs_one():
    assert likelihood.cllr(np.zeros(7), np.zeros(3)) == pytest.approx(1)
    assert likelihood.cllr(np.full(5, 9.0), np.full(5, -9.0)) < 1e-8
    assert likelihood.cllr(np.full(5, -1.0), np.full(5, 1.0)) == pytest.approx(np.log2(11))


def test_the_cost_is_that_of_the_true_ratios():
    """Integral of the definition over the Gaussians, by quadrature."""
    a, b = _scores(200_000, 2.0)
    x = np.linspace(-9, 9, 20_001)
    density = np.exp(-0.5 * (x - 1) ** 2) / np.sqrt(2 * np.pi)
    expected = np.trapezoid(density * np.log2(1 + np.exp(-2 * x)), x)
    ratio = likelihood.fit(a, b)
    assert likelihood.cllr(ratio.log10(a), ratio.log10(b)) == pytest.approx(expected, abs=0.005)


def test_the_least_cost_is_that_of_isotonic_regression():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=300).round(1) + 0.7, rng.normal(size=500).round(1)
    x, y = np.concatenate([a, b]), np.repeat([1, 0], [300, 500])
    weights = np.where(y == 1, 1 / 300, 1 / 500)
    p = IsotonicRegression().fit(x, y, sample_weight=weights).predict(x)
    with np.errstate(divide="ignore"):
        odds = p / (1 - p)
        expected = (np.log2(1 + 1 / odds[y == 1]).mean() + np.log2(1 + odds[y == 0]).mean()) / 2
    assert likelihood.cllr_min(a, b) == pytest.approx(expected, abs=1e-9)
    assert likelihood.cllr_min(3 * a - 1, 3 * b - 1) == pytest.approx(expected, abs=1e-9)


def test_no_ratio_is_larger_than_the_number_of_cases_supports():
    """Perfect separation: at most about n, whatever the logistic curve says beyond the data."""
    a, b = np.full(500, 9.0), np.full(500, -9.0)
    low, high = likelihood.elub(a, b)
    assert -np.log10(501) - 0.011 <= low < -2.5 and 2.5 < high <= np.log10(501) + 0.011
    few = likelihood.elub(a[:20], b[:20])
    assert few[1] < high and few[0] > low
    assert few[1] == pytest.approx(np.log10(20), abs=0.1)


@pytest.mark.parametrize(
    ("members", "non_members", "bounds"),
    [
        ({1000: 90, 0.101: 10}, {0.101: 990, 1000: 10}, (0.1105, 80.43)),  # breath test, Vergeer
        ({1e9: 3}, {1e-9: 3}, (0.3362, 2.974)),
        ({1e9: 1}, {1e-9: 1}, (1, 1)),
        ({1: 1, 10: 1, 100: 1}, {0.01: 1, 0.1: 1}, (0.3771, 1.499)),
        ({10: 1, 100: 1}, {0.01: 1, 0.1: 1, 1: 1}, (0.6669, 2.651)),
        ({10: 9}, {10: 1}, (1, 1)),
        ({10: 10}, {1: 1}, (1, 1.804)),
        ({1000: 10}, {1.1: 1}, (1, 1)),
    ],
)
def test_bounds_are_those_of_another_implementation(members, non_members, bounds):
    """Figures of the tests of the Netherlands Forensic Institute's `lir`, on a grid of 0.01."""
    sides = [
        np.log10(np.repeat(list(side), list(side.values()))) for side in (members, non_members)
    ]
    np.testing.assert_allclose(likelihood.elub(*sides), np.log10(bounds), atol=0.0101)


def test_scores_without_information_have_no_range():
    rng = np.random.default_rng(1)
    ratio = likelihood.fit(*rng.random((2, 400)))
    assert max(map(abs, ratio.bounds)) < 0.1
    assert np.abs(ratio.log10(np.linspace(0, 1, 9))).max() < 0.1


def test_members_who_score_lower_give_no_evidence():
    ratio = likelihood.fit(*reversed(_scores(500, 2.0)))
    assert ratio.slope == 0 and ratio.bounds == (0, 0)
    np.testing.assert_array_equal(ratio.log10(np.array([0.0, 0.5, 1.0])), 0)


def test_the_fit_is_scikit_learns():
    a, b = _scores(700, 1.0, members=200)
    x, y = logit(np.concatenate([a, b]))[:, None], np.repeat([1, 0], [200, 700])
    oracle = LogisticRegression(C=1e6, class_weight="balanced", tol=1e-10).fit(x, y)
    ratio = likelihood.fit(a, b)
    assert ratio.slope == pytest.approx(oracle.coef_[0, 0], rel=2e-3)
    assert ratio.intercept == pytest.approx(oracle.intercept_[0], abs=2e-3)


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="probabilities"):
        likelihood.fit(np.array([0.5, 1.2]), np.array([0.1]))
    with pytest.raises(ValueError, match="probabilities"):
        likelihood.fit(*_scores(50, 1.0)).log10(np.array([np.nan]))


def test_a_ratio_survives_json():
    ratio = likelihood.fit(*_scores(200, 1.0))
    assert likelihood.LikelihoodRatio.from_json(json.loads(json.dumps(ratio.to_json()))) == ratio


def test_misleading_ratios_are_cut():
    """One member far on the wrong side: bounds shrink there."""
    a, b = np.full(100, 2.0), np.full(100, -2.0)
    assert likelihood.elub(np.append(a, -2.0), b)[0] > likelihood.elub(a, b)[0]


def test_the_block_has_what_the_report_shows():
    ratio = likelihood.fit(*_scores(2000, 1.0))
    found = likelihood.describe(*_scores(1000, 1.0, seed=1), ratio)
    assert 0 < found["cllr_min"] <= found["cllr"] < 1
    low, high = found["log10_elub"]
    assert low < 0 < high
    assert found["tippett"]["members"] == sorted(found["tippett"]["members"])
    rows = {row["prior_odds"]: row for row in found["posterior"]}
    assert rows["1:1"]["highest"] == pytest.approx(10**high / (1 + 10**high))
    assert rows["1:10^6"]["highest"] < 1e-3
