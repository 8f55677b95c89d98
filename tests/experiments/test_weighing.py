"""What scores weigh, against the tests that `experiments.verdict` gives, closed forms, and Holm."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from experiments import weighing
from mint_jax.evidence import conformal, likelihood, persons


def _scores(mean, n, seed):
    return expit(np.random.default_rng(seed).normal(mean, 1, n))


@pytest.fixture(scope="module", autouse=True)
def resamples(full):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighing, "_RESAMPLES", 1000 if full else 150)
        yield


@pytest.fixture(scope="module")
def sides():
    return _scores(2, 400, 0), _scores(0, 800, 1), _scores(0.5, 700, 2)


@pytest.fixture(scope="module")
def scale(sides):
    members, strangers, unused = sides
    return weighing.Scale([strangers, unused], members, [strangers, unused])


def test_p_values_are_the_larger_of_both_hypotheses(scale, sides):
    _, strangers, unused = sides
    scores = np.sort(_scores(2, 50, 3))
    found = scale.p_values(scores)
    for score, p in zip(scores, found):
        tests = conformal.image_evidence(score, {"a": strangers}, {"b": unused}, alpha=0.9)
        given = [test.conditional_p for test in tests.values() if test.conditional_p is not None]
        assert p == max(given) and (len(given) == 2 or p > 0.9)
    assert (np.diff(found) <= 0).all()


def test_ratios_are_the_smaller_of_both_and_lie_between_their_bounds(scale, sides):
    members, strangers, unused = sides
    scores = expit(np.linspace(-4, 6, 41))
    low, estimate, high = scale.ratios(scores).T
    pair = [likelihood.fit(members, other).log10(scores) for other in (strangers, unused)]
    assert np.log10(estimate) == pytest.approx(np.min(pair, axis=0), abs=1e-9)
    assert (low <= estimate).all() and (estimate <= high).all()
    assert (np.diff(low) >= -1e-9).all() and (np.diff(high) >= -1e-9).all()


def test_the_power_is_that_of_the_rule(scale, sides):
    rare = scale.p_values(sides[0]) <= 0.05
    low = scale.ratios(sides[0])[:, 0]
    least = np.median(low[rare])
    assert 0 < scale.power(0.05, least) == np.mean(rare & (low >= least)) < np.mean(rare)
    assert scale.power(0.05, 0) == np.mean(rare) and scale.power(0.05, 1e9) == 0


def test_the_interval_holds_the_true_ratio_as_often_as_it_says(full):
    """Unit normals at 1.5 and 0: the log likelihood ratio of a logit x is 1.5 x - 1.125."""
    true, score = 1.5 * 1.2 - 1.125, np.array([expit(1.2)])
    times, held = 200 if full else 16, 0
    for seed in range(times):
        members, others = _scores(1.5, 100, [4, seed]), _scores(0, 100, [5, seed])
        low, _, high = np.log(weighing.Scale([others], members, [others], seed).ratios(score)[0])
        held += low <= true <= high
    assert stats.binom.cdf(held, times, 0.95) > 1e-3


def test_the_interval_is_that_of_a_bootstrap(sides):
    members, strangers, _ = sides
    score, rng, found = np.array([expit(1.2)]), np.random.default_rng(9), []
    for _ in range(150):
        pair = (side[rng.integers(len(side), size=len(side))] for side in (members, strangers))
        found.append(likelihood.fit(*pair).log10(score)[0])
    low, _, high = weighing.Scale([strangers], members, [strangers]).ratios(score)[0]
    expected = np.quantile(found, (0.025, 0.975))
    assert np.log10((low, high)) == pytest.approx(expected, abs=0.35 * np.ptp(expected))


def test_fewer_people_widen_the_interval(sides):
    members, strangers, _ = sides
    score, widths = np.array([expit(1.2)]), []
    for n in (40, 400):
        low, _, high = weighing.Scale([strangers], members[:n], [strangers[: 2 * n]]).ratios(score)[
            0
        ]
        widths.append(np.log(high / low))
    assert widths[0] > 2 * widths[1]


def test_scores_that_say_nothing_have_a_ratio_of_one(sides):
    _, strangers, unused = sides
    ratios = weighing.Scale([strangers], strangers, [unused]).ratios(np.array([0.001, 0.5, 0.999]))
    assert (ratios[:, 0] <= 1).all() and ratios[:, 1] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("seed", range(20))
def test_adjusted_p_values_reject_what_holm_rejects(seed):
    rng = np.random.default_rng(seed)
    p_values = dict(zip("abcdef", (rng.random(rng.integers(1, 7)) ** 3).tolist()))
    found = weighing.adjusted(p_values)
    for alpha in (0.001, 0.01, 0.05, 0.2, 0.9):
        rejected = {name: p <= alpha for name, p in found.items()}
        assert rejected == persons.holm(p_values, alpha)
    assert all(p_values[name] <= p <= 1 for name, p in found.items())


def test_one_hypothesis_is_not_corrected():
    assert weighing.adjusted({"a": 0.03}) == {"a": 0.03} and weighing.adjusted({}) == {}
