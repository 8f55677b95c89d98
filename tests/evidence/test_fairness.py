"""False positive rates of groups against scipy, and the test of their difference."""

import numpy as np
import pytest
from scipy import stats

from mint_jax.evidence import fairness


def _people(hits, sizes, photos=1):
    """Calls, identities and groups: of each group, `hits` people of `sizes` are called."""
    calls = np.concatenate([np.arange(size) < hit for hit, size in zip(hits, sizes)])
    groups = np.repeat([f"group {i}" for i in range(len(sizes))], sizes)
    identities = np.arange(len(calls))
    return tuple(np.repeat(x, photos) for x in (calls, identities, groups))


def test_rates_and_bounds_are_scipys_over_people():
    calls, identities, groups = _people((3, 20), (40, 200), photos=4)
    rows = fairness.by_group(calls, identities, {"g": groups})
    assert [row["group"] for row in rows] == ["group 0", "group 1"]
    for row, hits, people in zip(rows, (3, 20), (40, 200)):
        assert (row["attribute"], row["n"], row["people"]) == ("g", 4 * people, people)
        assert row["fpr"] == hits / people
        expected = stats.binomtest(hits, people).proportion_ci(0.95, "exact")
        np.testing.assert_allclose(row["fpr_ci95"], expected)


def test_a_rate_is_over_images_and_its_bound_over_people():
    """A person with 90 photos that were called, among 10 with one that was not."""
    identities = np.append(np.zeros(90, int), np.arange(1, 11))
    row = fairness.by_group(identities == 0, identities, {"a": np.zeros(100, int)})[0]
    assert (row["fpr"], row["people"], row["group"]) == (0.9, 11, "0")
    assert row["fpr_ci95"][1] < 0.5


def test_small_groups_are_named_and_not_measured():
    calls, identities, groups = _people((2, 0, 1), (20, 9, 30))
    rows = fairness.by_group(calls, identities, {"g": groups})
    assert [row["fpr"] is None for row in rows] == [False, True, False]
    assert rows[1]["people"] == rows[1]["n"] == 9 and rows[1]["fpr_ci95"] is None
    test = fairness.compare(calls, identities, {"g": groups})[0]
    assert (test["groups"], test["people"], test["calls"]) == (2, 50, 3)


@pytest.mark.parametrize("hits", [(2, 9), (0, 5), (6, 6), (1, 12)])
def test_two_equal_groups_give_fishers_p_value(hits):
    """There the order by chi-squared is the order by probability, Fisher's."""
    calls, identities, groups = _people(hits, (60, 60))
    p = fairness.compare(calls, identities, {"g": groups}, permutations=100_000)[0]["p"]
    table = [hits, (60 - hits[0], 60 - hits[1])]
    assert p == pytest.approx(stats.fisher_exact(table).pvalue, abs=0.006)


def test_three_unequal_groups_give_the_p_value_of_scipys_permutations():
    calls, identities, groups = _people((1, 8, 3), (30, 40, 80))
    p = fairness.compare(calls, identities, {"g": groups}, permutations=100_000)[0]["p"]
    codes = np.unique(groups, return_inverse=True)[1]

    def chi_squared(order):
        table = np.stack([np.bincount(codes, side[order]) for side in (calls, ~calls)])
        return stats.chi2_contingency(table, correction=False).statistic

    ways = {"permutation_type": "pairings", "alternative": "greater", "rng": 0}
    found = stats.permutation_test((np.arange(150),), chi_squared, n_resamples=2000, **ways)
    assert p == pytest.approx(found.pvalue, abs=0.02) and p < 0.1


def test_groups_alike_are_rarely_called_different():
    rng = np.random.default_rng(0)
    groups, p = rng.integers(4, size=400), []
    for seed in range(300):
        calls = rng.random(400) < 0.05
        row = fairness.compare(calls, np.arange(400), {"g": groups}, permutations=999, seed=seed)
        p.append(row[0]["p"])
    assert stats.binomtest(int(np.sum(np.array(p) <= 0.05)), 300, 0.05, "greater").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.5) > 0.3  # and it is no test that never rejects


def test_photos_of_one_person_are_one_case():
    """Twenty photos of one person who is called are no twenty false alarms."""
    calls, identities, groups = _people((1, 0), (20, 20), photos=20)
    assert fairness.compare(calls, identities, {"g": groups})[0]["p"] == pytest.approx(1)


def test_nothing_to_compare_has_no_p_value():
    calls, identities, groups = _people((1,), (30,))
    assert fairness.compare(calls, identities, {"g": groups})[0]["p"] is None
    nobody = np.zeros(30, bool)
    halves = np.arange(30) % 2
    assert fairness.compare(nobody, identities, {"g": halves})[0]["p"] == 1


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match="age"):
        fairness.by_group(np.zeros(5, bool), np.arange(5), {"age": np.zeros(4)})
    with pytest.raises(ValueError, match="identities"):
        fairness.compare(np.zeros(5, bool), np.arange(4), {})
