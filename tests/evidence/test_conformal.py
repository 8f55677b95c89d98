"""Conformal p-values: exact levels by enumeration and closed forms, and the order of the tests."""

import itertools

import numpy as np
import pytest
from scipy import stats

from mint_jax.evidence import conformal, operating


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
    found = np.bincount(np.minimum(counts, 10), minlength=11)  # 10 stands for all from 10 on
    expected = 4000 * np.append(law.pmf(np.arange(10)), law.sf(9))
    assert expected.min() > 5
    assert stats.chisquare(found, expected).pvalue > 0.001


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


def test_conditional_bounds_of_two_are_the_closed_form():
    """.95 and .975 hold together with the area 2 * (.975 * .95 - .95 ** 2 / 2) = .95."""
    found = conformal.conditional_p_values(np.array([1.0, 2.0]), np.array([3.0, 1.5, 0.0]))
    np.testing.assert_allclose(found, [0.95, 0.975, 1])


@pytest.mark.parametrize(("alpha", "n"), [(0.05, 118), (0.01, 598)])
def test_what_levels_given_the_calibration_set_cost(alpha, n):
    assert conformal.conditional_needed(alpha) == n
    for size, verdict in ((n, "rejected"), (n - 1, "no verdict")):
        found = conformal.image_evidence(2.0, {"others": np.linspace(0, 1, size)}, {}, alpha)
        assert found["h0_person"].verdict == verdict


@pytest.mark.parametrize("n", [1, 2, 3, 10, 99, 1000])
def test_conditional_p_values_are_never_below_plain_ones(n):
    calibration, scores = np.arange(n), np.arange(n + 1) - 0.5
    plain = conformal.p_values(calibration, scores)
    assert np.all(conformal.conditional_p_values(calibration, scores) >= plain)


@pytest.mark.parametrize(("alpha", "n"), [(0.1, 9), (0.05, 19), (0.01, 99), (0.3, 3), (1, 0)])
def test_a_level_takes_so_many_images(alpha, n):
    assert conformal.needed(alpha) == n
    assert conformal.resolution(n) <= alpha + 1e-12
    assert n == 0 or conformal.resolution(n - 1) > alpha


def test_calibration_images_of_one_person_are_no_further_cases():
    """All orders of four people, three of whom have five images that score alike."""
    people, image_wise, one_each = np.repeat(np.arange(3), 5), [], []
    for order in itertools.permutations(range(4)):
        scores, query = np.array(order[:3])[people], np.array([order[3]])
        image_wise.append(conformal.p_values(scores, query)[0])
        kept = scores[operating.one_each(people)]
        one_each.append(conformal.p_values(kept, query)[0])
    assert np.mean(np.array(image_wise) <= 1 / 16) == 1 / 4
    for level in (1 / 4, 2 / 4, 3 / 4):
        assert np.mean(np.array(one_each) <= level) == level


def test_the_order_of_calibration_images_says_nothing():
    rng = np.random.default_rng(0)
    calibration, scores = rng.normal(size=50).round(1), rng.normal(size=20).round(1)
    for p in (conformal.p_values, conformal.conditional_p_values):
        np.testing.assert_array_equal(
            p(rng.permutation(calibration), scores), p(calibration, scores)
        )


@pytest.mark.parametrize("place", ["query", "calibration"])
def test_a_score_that_is_no_number_is_no_evidence(place):
    calibration = np.append(np.linspace(0, 1, 998), np.nan if place == "calibration" else 1)
    with pytest.raises(ValueError, match="not a number"):
        query = np.nan if place == "query" else 2.0
        conformal.image_evidence(query, {"others": calibration}, {}, 0.01)


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


def test_the_image_is_never_tested_where_the_person_is_not_rejected():
    """Any two sets of calibration images, any score, any level: and all four verdicts occur."""
    rng, seen = np.random.default_rng(0), set()
    for _ in range(300):
        people, images = (rng.normal(size=rng.choice([0, 20, 400])) for _ in range(2))
        score, alpha = rng.normal(2, 1), rng.choice([0.01, 0.1])
        found = conformal.image_evidence(score, {"a": people}, {"b": images}, alpha)
        person, image = found["h0_person"], found["h0_image"]
        assert (image.verdict == "not tested") == (person.verdict != "rejected")
        assert (image.p is None) == (image.verdict == "not tested")
        seen |= {person.verdict, image.verdict}
    assert seen == {"rejected", "not rejected", "not tested", "no verdict"}


def test_no_verdict_without_support_or_resolution():
    found = conformal.image_evidence(2.0, CALIBRATION, CALIBRATION, 0.01, "the photo is too small")
    assert {t.verdict for t in found.values()} == {"no verdict"}
    assert found["h0_person"].reason == "the photo is too small" and found["h0_person"].p is None
    few = {"others": np.linspace(0, 1, 200)}
    found = conformal.image_evidence(2.0, few, {}, 0.01)["h0_person"]
    assert found.verdict == "no verdict" and "0.03 is the least" in found.reason
    found = conformal.image_evidence(2.0, {"nobody": np.array([])}, {}, 0.01)["h0_person"]
    assert (found.verdict, found.p, found.n) == ("no verdict", 1, 0)
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
