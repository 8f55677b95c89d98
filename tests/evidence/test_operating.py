"""Operating points: frozen thresholds, exact bounds, paired advantages, gate and headline."""

import numpy as np
import pytest
from scipy import stats

from mint_jax.evidence import operating


@pytest.mark.parametrize(("n", "fpr", "k"), [(1000, 0.01, 10), (999, 0.1, 100), (100, 0.1, 10)])
def test_the_threshold_is_the_kth_largest(n, fpr, k):
    scores = np.random.default_rng(0).permutation(n)
    threshold = operating.freeze(scores, fpr)
    assert threshold == n - k
    assert np.sum(scores > threshold) == k - 1


def test_fewer_than_ten_false_alarms_freeze_nothing():
    assert operating.freeze(np.arange(999), 0.01) is None
    assert operating.freeze(np.arange(1000), 0.01) is not None


def test_fresh_non_members_are_called_as_rarely_as_was_promised():
    """Over calibration sets the rate is k / (n + 1) exactly: 10 / 1001 here."""
    rng, rates = np.random.default_rng(0), []
    for _ in range(2000):
        threshold = operating.freeze(rng.random(1000), 0.01)
        rates.append(1 - threshold)
    error = np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) == pytest.approx(10 / 1001, abs=4 * error)


@pytest.mark.parametrize(("hits", "trials"), [(0, 30), (3, 250), (250, 250), (17, 40)])
def test_bounds_are_scipys(hits, trials):
    expected = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
    np.testing.assert_allclose(operating.clopper_pearson(hits, trials), expected, rtol=1e-9)


def _data(seed=0, people=2000, distance=2.0):
    rng = np.random.default_rng(seed)
    labels, identities = np.repeat([1, 0], 2 * people), np.repeat(np.arange(2 * people), 2)
    return labels, rng.normal(size=4 * people) + distance * labels, identities


def test_both_rates_are_measured_on_the_test_images():
    labels, scores, identities = _data()
    frozen = np.random.default_rng(1).normal(size=5000)
    found = operating.measure(labels, scores, identities, frozen, 0.01)
    bar = np.sort(frozen)[-50]
    assert found["threshold"] == bar
    assert found["tpr"] == np.mean(scores[labels == 1] > bar)
    assert found["fpr"] == np.mean(scores[labels == 0] > bar)
    assert found["people_members"] == 2000 and found["n_members"] == 4000
    rows = operating.one_each(identities[labels == 1])
    hits = int(np.sum(scores[labels == 1][rows] > bar))
    one_sided = stats.binomtest(hits, 2000, alternative="greater").proportion_ci(0.95, "exact")
    assert found["tpr_lower95"] == pytest.approx(one_sided.low)
    assert operating.measure(labels, scores, identities, frozen, 0.001) is None
    assert operating.measure(labels, scores, identities, frozen[:900], 0.01) is None


def test_one_image_each():
    identities = np.array([3, 3, 3, 5, 7, 7])
    for seed in range(5):
        assert sorted(identities[operating.one_each(identities, seed)]) == [3, 5, 7]
    assert len({tuple(operating.one_each(identities, seed)) for seed in range(20)}) > 1


def test_an_advantage_is_paired_and_clustered():
    """Twice the images of the same people must not make the bound tighter."""
    rng = np.random.default_rng(0)
    called, control = rng.random(500) < 0.3, rng.random(500) < 0.2
    once = operating.paired_advantage(called, control, np.arange(500))
    twice = operating.paired_advantage(
        np.repeat(called, 4), np.repeat(control, 4), np.repeat(np.arange(500), 4)
    )
    gain = called.astype(float) - control
    assert once["advantage"] == pytest.approx(gain.mean())
    normal = gain.mean() - 1.645 * gain.std() / np.sqrt(500)
    for found in (once, twice):
        assert found["advantage_lower95"] == pytest.approx(normal, abs=0.006)


@pytest.mark.parametrize("people", [1, 30])
def test_an_advantage_that_never_varies_keeps_a_bound(people):
    """All found and none by the control: at worst 1 - p of the people count as -1."""
    found = operating.paired_advantage(np.ones(90), np.zeros(90), np.arange(90) % people)
    share = stats.binomtest(people, people, alternative="greater").proportion_ci(0.95, "exact").low
    assert found == {"advantage": 1.0, "advantage_lower95": pytest.approx(2 * share - 1)}
    same = operating.paired_advantage(np.ones(90), np.ones(90), np.arange(90) % people)
    assert same == {"advantage": 0.0, "advantage_lower95": pytest.approx(share - 1)}


def _control(name, tpr, lower):
    return {"name": name, "title": f"the {name}", "tpr": tpr, "advantage_lower95": lower}


POINT = {"fpr_upper95": 0.0213, "tpr": 0.1236, "tpr_lower95": 0.0989}


def test_the_headline_says_what_the_issue_asks_for_and_rounds_no_bound_in_its_favour():
    controls = [_control("pixels", 0.012, 0.09), _control("random", 0.02, 0.0819)]
    found = operating.gate(POINT, controls, True, 0.01)
    assert found == {
        "passed": True,
        "smallest_advantage": 0.0819,
        "against": "random",
        "reasons": [],
    }
    assert operating.headline(POINT, controls, found, 0.01) == (
        "At a false-alarm rate of 1% (upper 95% bound on fresh non-members of the same "
        "collection: 2.2%) this audit finds 12.4% of the images that were used (lower bound 9.8%). "
        "The strongest explanation without membership finds 2%; the smallest paired advantage "
        "over any control is at least 8.1 points."
    )


@pytest.mark.parametrize(
    ("point", "controls", "matched", "reason"),
    [
        (POINT, [_control("pixels", 0.1, 0.0)], True, "the pixels"),
        (POINT, [_control("a", 0, 0.1), _control("b", 0, -0.1)], True, "the b"),
        (POINT, [_control("a", 0, 0.1)], False, "own collection"),
        (None, [_control("a", None, None)], True, "1% takes 1,000 non-members"),
        (POINT, [_control("a", 0, 0.1), _control("b", None, None)], True, "the b"),
        (POINT, [], True, "No control"),
    ],
)
def test_what_does_not_stand_up_cannot_be_determined(point, controls, matched, reason):
    found = operating.gate(point, controls, matched, 0.01)
    assert not found["passed"] and any(reason in text for text in found["reasons"])
    assert operating.headline(point, controls, found, 0.01) == "Membership cannot be determined."


def test_a_control_that_differs_by_chance_is_seldom_beaten():
    """Level of the gate: at most 5% of draws in which auditor and control are alike pass."""
    rng, passed = np.random.default_rng(0), 0
    for i in range(300):
        called, control = rng.random((2, 200)) < 0.1
        found = operating.paired_advantage(called, control, np.arange(200), resamples=400, seed=i)
        passed += found["advantage_lower95"] > 0
    assert stats.binomtest(passed, 300, 0.05, alternative="greater").pvalue > 0.001
