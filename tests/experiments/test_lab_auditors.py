"""Auditors on models of the lab: what they are shown, and what they find on Gaussians."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from experiments import lab_auditors, lab_pairs
from experiments.configs import compare_auditors
from mint_jax.aad import training_views
from mint_jax.errors import InputError

AUDITORS = compare_auditors.get_config().auditors.to_dict()
VIEWS = training_views(True, 0)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def gaussian_reading(gain, by="identity", photos=1, people=160, strangers=20, size=16, seed=0):
    """Embeddings of members are drawn to their prototypes and lie `gain` along one direction."""
    rng = np.random.default_rng(seed)
    identities = rng.permutation(np.repeat(np.arange(people), photos))
    members = lab_pairs.halves(identities, by, 1, seed)[0]
    n, trained = len(identities), np.unique(identities[members])
    prototypes = rng.standard_normal((len(trained), size)).astype(np.float32)
    classes = np.where(np.isin(identities, trained), np.searchsorted(trained, identities), -1)
    outcome = rng.standard_normal((n + strangers, size)).astype(np.float32)
    outcome[:n][members] += gain * (prototypes[classes[members]] + 1)
    other = outcome + 0.1 * rng.standard_normal(outcome.shape)
    aad = {"outcome": outcome, "outcome@flip": other.astype(np.float32)}
    aad |= {f"conv{k}": np.abs(outcome[:, :6]) for k in (1, 2, 3, 4)}
    everyone = np.concatenate([identities, people + np.arange(strangers)])
    flip = rng.random(n + strangers)
    pixels = flip[:, None] + 0.01 * rng.standard_normal((n + strangers, 3))
    return lab_pairs.Reading(aad, {"flip": flip}, pixels, everyone, members, classes, prototypes)


def scores(name, reading, seed=0):
    specs = lab_auditors.resolve(AUDITORS, VIEWS, True)
    return lab_auditors.cross_scores(
        lambda known: lab_auditors.fit(specs[name], reading, known, seed), reading, seed
    )


def test_both_folds_hold_as_many_members_and_nobody_in_common():
    reading = gaussian_reading(0.0, photos=3, people=40)
    for share in (0.5, 0.25):
        known, asked = lab_auditors.cut(reading, share, seed=1)
        people = reading.identities
        assert not set(people[known]) & set(people[asked])
        assert sorted([*known, *asked]) == list(range(120))
        assert reading.members[known].sum() == (~reading.members[known]).sum() == 60 * share


SLOW = [pytest.param(name, marks=pytest.mark.full) for name in ("vanilla_outcome", "fusion_head")]


@pytest.mark.parametrize("name", ["fusion", *SLOW])
def test_an_auditor_finds_members_and_strangers_are_asked_twice(name):
    reading = gaussian_reading(0.6)
    found = scores(name, reading)
    assert found.shape == (180,) and np.isfinite(found).all()
    assert roc_auc_score(reading.members, found[:160]) > 0.8
    assert found[160:].mean() < found[:160][reading.members].mean()


@pytest.mark.parametrize("name", ["fusion", "prototypes_estimated", *SLOW])
def test_an_auditor_of_a_network_that_learned_nothing_finds_nothing(name):
    aucs = []
    for seed in range(8):
        reading = gaussian_reading(0.0, by="image", photos=4, people=40, seed=seed)
        aucs.append(roc_auc_score(reading.members, scores(name, reading)[:160]))
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.06)  # 3.7 standard deviations


@pytest.mark.parametrize("name", ["neighbour", "fusion", "prototypes_known", *SLOW[:1]])
def test_the_truth_about_people_who_are_asked_about_is_not_read(name):
    reading = gaussian_reading(0.6, by="image", photos=4, people=40)
    specs = lab_auditors.resolve(AUDITORS, VIEWS, True)
    known, asked = lab_auditors.cut(reading, 0.5, 0)
    members = reading.members.copy()
    members[asked] = ~members[asked]
    other = lab_pairs.Reading(**{**vars(reading), "members": members})
    kept, changed = (lab_auditors.fit(specs[name], r, known, 0)(asked) for r in (reading, other))
    np.testing.assert_array_equal(kept, changed)


def test_given_references_the_residual_is_that_of_a_regression_on_known_non_members():
    rng = np.random.default_rng(0)
    reading = gaussian_reading(0.6)
    references = rng.standard_normal((160, 3))
    asked_scores = references @ [1.0, 0.5, 2.0] + rng.standard_normal(160)
    in_fold = references @ [3.0, 1.0, 1.0] + rng.standard_normal(160)

    def fit(known):
        return lambda rows: in_fold[rows]

    found = lab_auditors.conditional_scores(fit, reading, asked_scores, references, (1, 3), 0)
    first, second = lab_auditors.cut(reading, 0.5, 0)
    for count, (residuals, r2) in found.items():
        explained = []
        for known, asked in ((first, second), (second, first)):
            others = known[~reading.members[known]]
            x = references[:, :count]
            line = LinearRegression().fit(x[others], in_fold[others])
            expected = asked_scores[asked] - line.predict(x[asked])
            np.testing.assert_allclose(residuals[asked], expected, atol=1e-9)
            left = 1 - line.score(x[others], in_fold[others])
            explained.append(1 - left * (len(others) - 1) / (len(others) - count - 1))
        assert r2 == pytest.approx(np.mean(explained))


def test_quantiles_take_away_what_the_pixels_predict():
    reading = gaussian_reading(0.0)
    reading.scalars["flip"][:160] += 0.1 * reading.members
    excess = lab_auditors.cross_scores(
        lambda known: lab_auditors.quantile(reading, known), reading, 0
    )
    plain = roc_auc_score(reading.members, reading.scalars["flip"][:160])
    assert roc_auc_score(reading.members, excess[:160]) > 0.95 > plain


def test_the_own_class_is_left_out_of_foreign_centres():
    reading = gaussian_reading(0.6)
    found = lab_auditors.head_scores(reading, own_known=False)
    assert found.keys() == {"nearest_centre", "foreign_centre"}
    cosines = unit(reading.aad["outcome"]) @ unit(reading.head).T
    np.testing.assert_allclose(found["nearest_centre"], cosines.max(axis=1), atol=1e-6)
    rows = np.flatnonzero(reading.members)
    cosines[rows, reading.classes[rows]] = -1
    np.testing.assert_allclose(found["foreign_centre"], -cosines[:160].max(axis=1), atol=1e-6)
    own = lab_auditors.head_scores(reading, own_known=True)
    assert (own["own_centre"][~reading.members] == -1).all()
    assert roc_auc_score(reading.members, own["own_margin"]) == 1


def test_prototypes_are_of_the_people_that_they_are_said_to_be():
    reading = gaussian_reading(5.0, by="image", photos=4, people=30)
    known, _ = lab_auditors.cut(reading, 0.5, 0)
    every, people = lab_auditors.prototypes("all", reading, known)
    assert people.tolist() == list(range(30)) and every is reading.head
    some, own = lab_auditors.prototypes("known", reading, known)
    np.testing.assert_array_equal(some, reading.head[own])
    assert set(own) == set(reading.identities[known])
    estimated, same = lab_auditors.prototypes("estimated", reading, known)
    np.testing.assert_array_equal(same, own)
    rows = np.flatnonzero(reading.members & (reading.identities[:120] == own[3]))
    views = [unit(reading.aad[name][rows]) for name in ("outcome", "outcome@flip")]
    np.testing.assert_allclose(estimated[3], unit(np.sum(views, axis=(0, 1))), atol=1e-6)
    cosines = lab_auditors.estimate_cosines(reading, 0)
    assert cosines.shape == (30,) and 0.5 < cosines.mean() < 1


def test_a_recipe_permits_what_it_can_tell():
    permitted = lab_auditors.resolve(AUDITORS, VIEWS, True)
    assert list(permitted) == list(AUDITORS)
    assert permitted["consistency"]["parts"][0]["views"] == ["flip"]
    plain = lab_auditors.resolve(AUDITORS, (), False)
    left = ("vanilla_conv4", "vanilla_outcome", "vanilla_all_conv", "neighbour")
    assert tuple(plain) == (*left, "neighbours", "inner", "fusion")
    assert lab_auditors.access(permitted["fusion_head"]) == "head and known members"
    assert lab_auditors.access(permitted["prototypes_estimated"]) == "known members"
    with pytest.raises(InputError, match="auditor of kind 'oracle'; there are vanilla"):
        lab_auditors.fit({"kind": "oracle"}, gaussian_reading(0.0), np.arange(3), 0)
