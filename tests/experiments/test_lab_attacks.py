"""LiRA and RMIA beside other pairs of models, where their AUC is known."""

import dataclasses

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from experiments import lab_attacks, lab_pairs
from mint_jax import baselines


def gaussian_study(gain, pairs=10, people=600, strangers=300):
    """A scalar N(difficulty + gain, 1) of members and N(difficulty, 1) of the others, three ways.

    A margin is given as it is, an auditor's score as a logit, and of a cosine (1 + c) / 2 has it.
    """
    rng = np.random.default_rng(2)
    identities = np.repeat(np.arange(people), 2)
    in_mask = lab_pairs.halves(identities, "image", pairs, seed=0)
    difficulty = rng.normal(0, 3, 2 * people + strangers)
    noise = rng.standard_normal((2 * pairs, 2 * people + strangers))
    t = np.clip(difficulty + noise, -12, 12)
    t[:, : 2 * people] += gain * in_mask
    values = {"neighbour": t, "flip": 2 * expit(t) - 1}
    return lab_attacks.Study(
        in_mask,
        {name: p[:, : 2 * people] for name, p in values.items()}
        | {"own_margin": t[:, : 2 * people]},
        {name: p[:, 2 * people :] for name, p in values.items()},
    )


@pytest.fixture(scope="module")
def study():
    return gaussian_study(gain=1.5)


def test_offline_lira_finds_what_a_gaussian_about_a_mean_of_nine_leaves(study):
    """The target less the mean of 9 models without the photo: variance 1 + 1 / 9."""
    found = {}
    for target in range(len(study.in_mask)):
        for key, scores in lab_attacks.attacks(study, target, gamma=1.0):
            found.setdefault(key, []).append(roc_auc_score(study.in_mask[target], scores))
    found = {key: np.mean(aucs) for key, aucs in found.items()}
    offline = norm.cdf(1.5 / np.sqrt(2 * (1 + 1 / 9)))
    assert found["lira_offline", "own_margin"] == pytest.approx(offline, abs=0.01)
    assert offline - 0.03 < found["lira_online", "own_margin"] < norm.cdf(1.5 / np.sqrt(2))
    plain = norm.cdf(1.5 / np.sqrt(2 * (1 + 9)))  # of the scalar alone
    assert plain + 0.05 < found["rmia", "neighbour"] < offline + 0.01


def test_a_cosine_and_a_probability_are_read_as_logits(study):
    found = dict(lab_attacks.attacks(study, 3, gamma=1.0))
    for name in ("lira_online", "lira_offline"):
        for scalar in ("flip", "neighbour"):
            expected = found[name, "own_margin"]
            np.testing.assert_allclose(found[name, scalar], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found["rmia", "flip"], found["rmia", "neighbour"])
    references = np.delete(np.arange(20), [2, 3])
    p, strangers = (expit(x["neighbour"]) for x in (study.scalars, study.strangers))
    arrays = p[references], study.in_mask[references], p[3], strangers[references], strangers[3]
    assert any(
        np.array_equal(found["rmia", "neighbour"], baselines.rmia(*arrays, a=a, gamma=1.0))
        for a in np.linspace(0, 1, 11)
    )


def test_without_strangers_lira_is_what_it_was(study):
    alone = dict(lab_attacks.attacks(dataclasses.replace(study, strangers={}), 3, gamma=1.0))
    found = dict(lab_attacks.attacks(study, 3, gamma=1.0))
    assert alone.keys() == {key for key in found if key[0] != "rmia"}
    for key, scores in alone.items():
        np.testing.assert_array_equal(scores, found[key])


def test_the_other_half_is_no_reference(study):
    """What the complement says of a photo would be as good as the truth."""
    scalars = {name: t.copy() for name, t in study.scalars.items()}
    for t in scalars.values():
        t[4] = t[4, ::-1]
    other = lab_attacks.Study(study.in_mask, scalars, study.strangers)
    kept, changed = (
        [list(lab_attacks.attacks(s, target, 1.0)) for s in (study, other)] for target in (5, 6)
    )
    for (_, a), (_, b) in zip(*kept):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for (_, a), (_, b) in zip(*changed))
