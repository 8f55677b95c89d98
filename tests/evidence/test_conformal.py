"""Conformal p-values: exact levels by enumeration and closed forms, and the order of the tests."""

import itertools

import numpy as np
import pytest
from scipy import stats

from mint_jax.evidence import conformal


def test_levels_are_exact_by_enumeration():
    """All orders of four calibration scores and the query: p <= j / 5 in j of 5 of them."""
    counts = np.zeros(6, int)
    for order in itertools.permutations(range(5)):
        p = conformal.p_values(np.array(order[:4]), np.array(order[4:]))[0]
        counts[round(5 * p)] += 1
    np.testing.assert_array_equal(counts[1:], 24)


def test_ties_count_against_rejection():
    calibration = np.array([0.0, 1.0, 1.0, 2.0])
    found = conformal.p_values(calibration, np.array([2.0, 1.0, 3.0, -1.0]))
    np.testing.assert_allclose(found, [2 / 5, 4 / 5, 1 / 5, 1])


@pytest.mark.parametrize("decimals", [8, 0])
def test_randomised_p_values_are_uniform_even_with_ties(decimals):
    rng, found = np.random.default_rng(0), []
    for seed in range(3000):
        scores = rng.normal(size=21).round(decimals)
        found.append(conformal.randomised_p_values(scores[:20], scores[20:], seed)[0])
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_counts_of_rejections_are_beta_binomial():
    """Of m queries that share a calibration set, the number that is rejected at k / (n + 1)."""
    rng, n, m, k = np.random.default_rng(0), 99, 50, 5
    counts = np.array(
        [np.sum(conformal.p_values(rng.random(n), rng.random(m)) <= 0.05) for _ in range(4000)]
    )
    law = stats.betabinom(m, k, n + 1 - k)
    assert counts.mean() == pytest.approx(law.mean(), abs=4 * law.std() / np.sqrt(4000))
    assert counts.var() == pytest.approx(law.var(), rel=0.1)


@pytest.mark.parametrize("n", [20, 101, 1000])
def test_conditional_bounds_hold_together(n):
    """For all ranks at once, in 95% of calibration sets; they are not wasteful either."""
    rng = np.random.default_rng(n)
    uniform = np.sort(rng.random((4000, n)), axis=1)
    bounds = conformal.conditional_p_values(np.arange(n), np.arange(n)[::-1] + 0.5)
    held = np.mean((uniform <= bounds).all(axis=1))
    assert 0.94 < held < 0.97
    assert np.all(np.diff(bounds) >= 0)


def test_conditional_p_values_are_larger_and_keep_the_order():
    rng = np.random.default_rng(0)
    calibration, scores = rng.normal(size=1000), rng.normal(size=200) + 1
    plain = conformal.p_values(calibration, scores)
    adjusted = conformal.conditional_p_values(calibration, scores)
    assert np.all(adjusted >= plain)
    assert np.all(np.diff(adjusted[np.argsort(plain)]) >= 0)
    assert conformal.conditional_p_values(calibration, np.array([99.0]))[0] == pytest.approx(
        1 - 0.05 ** (1 / 500)
    )


CALIBRATION = {"others": np.linspace(0, 1, 999)}


def test_the_image_is_tested_only_after_the_person():
    found = conformal.image_evidence(2.0, CALIBRATION, CALIBRATION, 0.01)
    assert [t.verdict for t in found.values()] == ["rejected", "rejected"]
    found = conformal.image_evidence(0.5, CALIBRATION, {"unused": np.zeros(999)}, 0.01)
    assert found["h0_person"].verdict == "not rejected"
    assert found["h0_image"].verdict == "not tested" and found["h0_image"].p is None
    members = {"unused": np.linspace(1, 3, 999)}  # unused images of members score as much
    found = conformal.image_evidence(2.0, CALIBRATION, members, 0.01)
    assert [t.verdict for t in found.values()] == ["rejected", "not rejected"]


def test_the_worst_population_decides():
    worse = CALIBRATION | {"webcam": np.linspace(0, 4, 999)}
    found = conformal.image_evidence(2.0, worse, {}, 0.01)["h0_person"]
    assert (found.verdict, found.population) == ("not rejected", "webcam")
    assert found.p == pytest.approx(0.5, abs=0.01)


def test_no_verdict_without_support_or_resolution():
    found = conformal.image_evidence(2.0, CALIBRATION, CALIBRATION, 0.01, "the photo is too small")
    assert {t.verdict for t in found.values()} == {"no verdict"}
    assert found["h0_person"].reason == "the photo is too small" and found["h0_person"].p is None
    few = {"others": np.linspace(0, 1, 200)}
    found = conformal.image_evidence(2.0, few, {}, 0.01)["h0_person"]
    assert found.verdict == "no verdict" and "0.03 is the least" in found.reason
    found = conformal.image_evidence(2.0, CALIBRATION, {}, 0.01)["h0_image"]
    assert found.verdict == "no verdict"


def test_false_alarms_of_the_two_tests_together_keep_the_level():
    """Queries that are unused images of members: the first test rejects, the second must not."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        people, images = rng.normal(size=500), rng.normal(size=500) + 3
        found = conformal.image_evidence(rng.normal() + 3, {"a": people}, {"b": images}, 0.05)
        wrong += found["h0_image"].verdict == "rejected"
    assert stats.binomtest(wrong, 400, 0.05, alternative="greater").pvalue > 0.01
