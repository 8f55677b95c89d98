"""Evidence about people: ranks by enumeration, closed examples of the multiple tests."""

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from mint_jax.evidence import persons


def test_a_persons_photos_are_one_case():
    """However many photos: under the hypothesis p is uniform on j / (n + 1)."""
    rng, ranks = np.random.default_rng(0), []
    for seed in range(2000):
        people = np.repeat(np.arange(10), 4)
        of_person = rng.normal(size=10)[people] + 0.3 * rng.normal(size=40)  # alike within a person
        scores = 1 / (1 + np.exp(-of_person))
        found = persons.rank_person(scores[:3], scores[4:], people[4:], seed)
        assert (found.people, found.photos, found.resolution) == (9, 3, 0.1)
        ranks.append(round(found.p * 10))
    counts = np.bincount(ranks, minlength=11)[1:]
    assert stats.chisquare(counts).pvalue > 0.001


def test_people_with_fewer_photos_are_left_out_and_more_are_drawn():
    people = np.array([1, 1, 2, 3, 3, 3])
    scores = np.full(6, 0.5)
    assert set(persons.draw_scores(scores, people, 2)) == {1, 3}
    assert set(persons.draw_scores(scores, people, 1)) == {1, 2, 3}
    varied = np.array([0.5, 0.5, 0.5, 0.1, 0.5, 0.9])
    drawn = {persons.draw_scores(varied, people, 1, seed)[3] for seed in range(20)}
    assert len(drawn) == 3


def test_a_person_is_ranked_by_all_their_photos():
    """Three photos each: means of logits 1, 0 and 1 of others; ties count against rejection."""
    logits = np.array([[3.0, 0, 0], [0, 0, 0], [1, 1, 1]])
    scores, people = 1 / (1 + np.exp(-logits.ravel())), np.repeat([5, 6, 7], 3)
    for own, p in (((2, 2, 2), 1 / 4), ((0.5, 0.5, 0.5), 3 / 4), ((-1, -1, 1), 1)):
        found = persons.rank_person(1 / (1 + np.exp(-np.array(own))), scores, people)
        assert (found.p, found.people) == (p, 3)
    assert persons.rank_person(scores[3:6], scores[3:6], people[3:6]).p == 1


def test_copies_of_a_photo_change_nothing():
    scores, groups = np.array([0.9, 0.2, 0.6]), ["a", "b", "c"]
    again = persons.pool_duplicates(np.append(scores, [0.9, 0.9]), [*groups, "a", "a"])
    np.testing.assert_allclose(persons.pool_duplicates(scores, groups), scores)
    np.testing.assert_allclose(again, scores)
    assert persons.person_score(again) == pytest.approx(persons.person_score(scores))
    assert persons.person_score(np.append(scores, 0.9)) > persons.person_score(again)


def test_copies_are_pooled_by_hashes_of_any_kind():
    """In the order in which the photos came; near copies give the mean of their logits."""
    pooled = persons.pool_duplicates(np.array([0.9, 0.2, 0.5]), [b"\xff\x00", b"\xff", b"\xff\x00"])
    np.testing.assert_allclose(pooled, [0.75, 0.2])  # odds 9 and 1: their geometric mean is 3
    assert len(persons.pool_duplicates(np.array([]), [])) == 0


@pytest.mark.parametrize("scores", [[], [0.5, np.nan], [1.5]])
def test_no_photos_and_no_probabilities_are_no_evidence(scores):
    with pytest.raises(ValueError, match="score"):
        persons.rank_person(np.array(scores), np.linspace(0.1, 0.9, 20), np.arange(20))


def test_the_score_does_not_depend_on_the_order_of_photos():
    scores = np.array([0.1, 0.7, 0.9])
    found = {round(persons.person_score(np.array(p)), 12) for p in itertools.permutations(scores)}
    assert len(found) == 1


def test_e_values_have_mean_one_under_the_hypothesis():
    assert integrate.quad(persons.e_value, 0, 1)[0] == pytest.approx(1)
    np.testing.assert_allclose(persons.e_value(np.array([1, 0.25, 0.0001])), [0.5, 1, 50])
    discrete = persons.e_value(np.arange(1, 101) / 100)
    assert discrete.mean() <= 1
    assert persons.average([4.0, 0.5, 0.0]) == pytest.approx(1.5)


def test_holm_is_the_step_down_test():
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}  # 4 tests at 5%: .0125, .0167, .025, .05
    assert persons.holm(p, 0.05) == {"a": True, "b": False, "c": False, "d": True}
    assert persons.holm({"a": 0.01, "b": 0.02, "c": 0.03}, 0.05) == dict.fromkeys("abc", True)
    assert persons.holm({"a": 0.02, "b": 0.001, "c": 0.9}, 0.05) == {
        "a": True,
        "b": True,
        "c": False,
    }
    assert persons.holm({"a": 0.03, "b": 0.03}, 0.05) == {"a": False, "b": False}


def test_holm_is_the_closed_test_of_bonferroni():
    """A hypothesis falls where every set of hypotheses that holds it has a p <= alpha / size."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = dict(enumerate(rng.beta(0.4, 8, size=4)))
        sets = [c for size in range(1, 5) for c in itertools.combinations(p, size)]
        falls = {c: min(p[i] for i in c) <= 0.05 / len(c) for c in sets}
        expected = {i: all(falls[c] for c in sets if i in c) for i in p}
        assert persons.holm(p, 0.05) == expected


def test_holm_keeps_the_family_wise_error():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(2000):
        shared = rng.normal()  # models that were trained on overlapping data are not independent
        p = stats.norm.sf(0.7 * shared + np.sqrt(0.51) * rng.normal(size=5))
        wrong += any(persons.holm(dict(enumerate(p)), 0.05).values())
    assert stats.binomtest(wrong, 2000, 0.05, alternative="greater").pvalue > 0.001


def test_e_bh_against_its_definition():
    rng = np.random.default_rng(0)
    for _ in range(50):
        e = dict(enumerate(rng.exponential(20, size=6)))
        best = 0
        for size in range(1, 7):
            if sum(value >= 6 / (0.2 * size) for value in e.values()) >= size:
                best = size
        expected = {k for k in sorted(e, key=e.get)[6 - best :]} if best else set()
        assert {k for k, hit in persons.e_bh(e, 0.2).items() if hit} == expected


@pytest.mark.parametrize(("published", "p"), [(0.9, 0.25), (0.5, 0.75), (0.1, 1.0), (0.6, 0.5)])
def test_a_published_photo_is_ranked_among_its_siblings(published, p):
    assert persons.sibling_rank(published, np.array([0.2, 0.5, 0.6])) == p


def test_the_level_of_the_sibling_test_by_enumeration():
    """All orders of four photos, two of which score alike: ties count against rejection."""
    p = [persons.sibling_rank(o[0], np.array(o[1:])) for o in itertools.permutations([1, 2, 3, 3])]
    for level, share in ((1 / 4, 0), (2 / 4, 2 / 4), (3 / 4, 3 / 4)):
        assert np.mean(np.array(p) <= level) == share


@pytest.mark.parametrize(("published", "sibling"), [(np.nan, 0.5), (0.5, np.nan)])
def test_a_sibling_without_a_score_is_an_error(published, sibling):
    with pytest.raises(ValueError, match="not a number"):
        persons.sibling_rank(published, np.array([0.2, sibling]))
