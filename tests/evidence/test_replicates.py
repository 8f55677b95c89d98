"""Intervals over replicates: closed forms where only networks, or only people, differ."""

import numpy as np
import pytest
from scipy import stats

from mint_jax.evidence import operating, replicates


def _half(interval):
    return (interval[1] - interval[0]) / 2


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_a_single_network_has_the_exact_interval_over_people(rate):
    rng, people = np.random.default_rng(0), np.repeat(np.arange(100), 3)
    called = rng.random((1, 300)) < rate
    hits = int(called[0][operating.one_each(people)].sum())
    expected = stats.binomtest(hits, 100).proportion_ci(0.95, "exact")
    np.testing.assert_allclose(replicates.rate_interval(called, people), expected, rtol=1e-9)


def test_replicates_that_all_find_nobody_are_not_sure_of_it():
    found = replicates.rate_interval(np.zeros((20, 200), bool), np.arange(200) // 2)
    expected = stats.binomtest(0, 100).proportion_ci(0.95, "exact")
    np.testing.assert_allclose(found, expected)


def test_networks_that_agree_are_no_more_people():
    """Twenty equal networks read the same people: the interval is that of one."""
    called = np.tile(np.random.default_rng(0).random(1000) < 0.2, (20, 1))
    rate = called.mean()
    expected = 1.96 * np.sqrt(rate * (1 - rate) / 1000)
    found = replicates.rate_interval(called, np.arange(1000), resamples=4000)
    assert _half(found) == pytest.approx(expected, rel=0.05)


def test_networks_that_differ_widen_it():
    """Everybody or nobody is found, by the network: the mean of 16 coins, however many people."""
    called = np.repeat(np.arange(16)[:, None] % 2 == 0, 500, axis=1)
    found = replicates.rate_interval(called, np.arange(500), resamples=4000)
    law = stats.binom(16, 0.5)
    np.testing.assert_allclose(found, law.ppf([0.025, 0.975]) / 16, atol=1e-6)


def test_more_images_of_the_same_people_do_not_tighten_it():
    called = np.random.default_rng(0).random((5, 300)) < 0.3
    once = replicates.rate_interval(called, np.arange(300))
    repeated = replicates.rate_interval(np.repeat(called, 4, axis=1), np.repeat(np.arange(300), 4))
    assert _half(repeated) == pytest.approx(_half(once), rel=0.15)
