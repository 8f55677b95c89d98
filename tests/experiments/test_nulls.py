"""Redraws of null models: simulated scores, and populations whose leakage is known."""

import dataclasses
import itertools

import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy import stats

from experiments import nulls
from experiments.nulls import Asked, Photos
from mint_jax.errors import InputError
from mint_jax.evidence import conformal

D = 16


def simulate(redraws, n_calibration, n_test, shift=0.0, seed=0):
    """Scores of a normal distribution; those of the queries are moved by `shift`."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(redraws):
        calibration, scores = rng.normal(size=n_calibration), rng.normal(shift, size=n_test)
        one = conformal.randomised_p_values(calibration, scores[:1], i)[0]
        rows.append((rng.permutation(5 * n_test)[:n_test], scores, calibration, one))
    p = np.stack([conformal.p_values(calibration, scores) for _, scores, calibration, _ in rows])
    people, ones = np.stack([row[0] for row in rows]), np.array([row[3] for row in rows])
    return Asked(people, p, ones, n_calibration)


def test_the_law_of_rejections_counts_arrangements():
    """Two queries among four calibration scores: every arrangement is as likely."""
    counts = []
    for places in itertools.combinations(range(6), 2):
        scores = np.arange(6.0)
        queries, calibration = scores[list(places)], np.delete(scores, places)
        counts.append(int((conformal.p_values(calibration, queries) <= 0.4).sum()))
    theory = nulls.law(2, 4, 0.4)
    shares = np.bincount(counts, minlength=3) / len(counts)
    np.testing.assert_allclose(theory.pmf([0, 1, 2]), shares, atol=1e-12)


def test_exchangeable_scores_pass():
    found = nulls.null(simulate(200, 999, 50))
    assert found["queries"] == 10_000 and found["ks_p"] > 0.05
    for alpha, level in found["levels"].items():
        assert level["expected"] == pytest.approx(float(alpha))
        assert level["rate_ci95"][0] < float(alpha) < level["rate_ci95"][1]
        assert level["counts_p"] > 0.05
        assert level["sd"] == pytest.approx(level["expected_sd"], rel=0.2)
    assert not nulls.all_tests([{"name": "simulated", **found}])["rejected"]


def test_queries_that_score_too_much_are_caught():
    found = nulls.null(simulate(200, 999, 50, shift=0.4))
    assert found["ks_p"] < 1e-3
    for alpha, level in found["levels"].items():
        assert level["rate_ci95"][0] > float(alpha)
    tests = nulls.all_tests([{"name": "simulated", **found}])
    assert tests["tests"] == 3 and tests["smallest_p"] < 1e-6
    assert {"simulated, p-values", "simulated, 0.05"} <= set(tests["rejected"])


def test_counts_of_the_right_mean_and_another_spread_are_caught():
    """Binomial counts forget that the queries of a redraw share one calibration set."""
    theory = nulls.law(200, 99, 0.05)
    wrong = stats.binom(200, 0.05).rvs(200, random_state=0)
    assert wrong.mean() == pytest.approx(theory.mean(), rel=0.05)
    assert nulls.uniformity(nulls.transformed(wrong, theory, 0)) < 1e-3
    right = theory.rvs(200, random_state=0)
    assert nulls.uniformity(nulls.transformed(right, theory, 0)) > 0.05


def test_the_interval_of_a_rate_is_over_people():
    rng = np.random.default_rng(0)
    people, p = rng.permutation(400)[None], rng.random((1, 400))
    once = nulls.rejected(people, p, 0.2)
    half = 1.96 * np.sqrt(once["rate"] * (1 - once["rate"]) / 400)
    np.testing.assert_allclose(
        once["rate_ci95"], [once["rate"] - half, once["rate"] + half], atol=0.005
    )
    again = nulls.rejected(np.repeat(people, 9, axis=0), np.repeat(p, 9, axis=0), 0.2)
    assert again == once  # nine times the same people are no more people


@pytest.mark.parametrize("p, hits", [(0.5, 0), (0.001, 30)])
def test_the_interval_of_an_extreme_rate_is_exact(p, hits):
    found = nulls.rejected(np.tile(np.arange(30), (4, 1)), np.full((4, 30), p), 0.01)
    exact = stats.binomtest(hits, 30).proportion_ci(method="exact")
    assert found["rate"] == hits / 30
    np.testing.assert_allclose(found["rate_ci95"], [exact.low, exact.high])


@pytest.fixture(scope="module")
def config():
    return ConfigDict(
        dict(
            redraws=40,
            power_redraws=3,
            seed=0,
            bank=30,
            train=20,
            calibration=99,
            test=40,
            unused_calibration=99,
            unused_test=20,
            power_banks=(10, 30),
            power_test=30,
        )
    )


@pytest.fixture(scope="module")
def photos():
    """What was trained on lies in one direction, and so does everything of one database."""
    rng = np.random.default_rng(1)

    def draw(*shape, leaks=False):
        x = rng.normal(size=(*shape, D)).astype(np.float32)
        x[..., 0] += 3 * leaks
        return x

    fresh = draw(300, 2)
    return Photos(
        members=draw(180, 2, leaks=True),
        non_members=draw(180, 2),
        fresh=fresh,
        unused=draw(180),
        changed={"none": fresh[:, 0]},
        elsewhere={"alike": draw(100), "leaking": draw(100, leaks=True)},
    )


@pytest.fixture(scope="module")
def asked(photos, config):
    return nulls.ask(photos, config)


def test_null_models_hold_beside_a_leak(asked):
    rows = [{"name": name, **nulls.null(asked[name])} for name in nulls.NULLS]
    assert not nulls.all_tests(rows)["rejected"]
    assert [row["queries"] for row in rows] == [1600, 1600, 800]
    for name, found in asked.items():
        assert all(len(set(people)) == len(people) for people in found.people), name


def test_a_change_that_changes_nothing_is_asked_about_the_same_people(asked):
    np.testing.assert_array_equal(asked["none"].people, asked["non_members"].people)
    np.testing.assert_array_equal(asked["none"].p, asked["non_members"].p)


def test_a_database_that_looks_like_members_inflates(asked):
    found = nulls.shift(asked["leaking"])
    level = found["levels"]["0.05"]
    assert level["inflation"] == pytest.approx(level["rate"] / 0.05) and level["inflation"] > 10
    low, high = nulls.shift(asked["alike"])["levels"]["0.05"]["inflation_ci95"]
    assert low < 1 < high
    assert found["queries"] == 1600 and found["people"] <= 100


def test_power_is_that_of_the_leak(photos, config):
    rows = nulls.power(photos, config)
    assert [(r["bank"], r["photos"], r["used"]) for r in rows] == [
        (bank, *asked) for bank in (10, 30) for asked in ((1, True), (2, True), (1, False))
    ]
    for one, two, unused in (rows[:3], rows[3:]):
        rate = {row["photos"]: row["levels"]["0.05"]["rate"] for row in (one, two)}
        ideal = stats.norm.sf(stats.norm.isf(0.05) - 3)  # of one coordinate, moved by 3
        assert 0.5 < rate[1] < ideal + 0.05
        assert rate[2] > rate[1]
        assert unused["levels"]["0.05"]["rate"] < 0.2


def test_too_few_people_are_refused(photos, config):
    few = dataclasses.replace(photos, elsewhere={"alike": photos.unused[:39]})
    with pytest.raises(InputError, match="needs 40 people of alike, there are 39"):
        nulls.ask(few, config)
    with pytest.raises(InputError, match="1% needs 99 calibration people"):
        nulls.ask(photos, ConfigDict({**config.to_dict(), "unused_calibration": 98}))
