"""RMIA against its definition, pair by pair."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mint_jax.baselines import rmia
from mint_jax.errors import InputError


@pytest.fixture
def case():
    """8 models, 30 photos, 50 of the population; every photo is out of four models."""
    rng = np.random.default_rng(0)
    in_mask = rng.permuted(np.repeat([[True], [False]], 4, axis=0) * np.ones((1, 30), bool), axis=0)
    draw = rng.uniform
    return draw(0.05, 1, (8, 30)), in_mask, draw(size=30), draw(0.05, 1, (8, 50)), draw(size=50)


@pytest.mark.parametrize("a", [0, 0.3, 1])
@pytest.mark.parametrize("gamma", [1, 2])
def test_against_the_definition(case, a, gamma):
    t, in_mask, target, population_t, population_target = case

    def marginal(without):
        estimated_with = a * without + (1 - a)
        return (estimated_with + without) / 2

    expected = []
    for i in range(30):
        ratio = target[i] / marginal(np.mean([t[m, i] for m in range(8) if not in_mask[m, i]]))
        others = [population_target[z] / marginal(np.mean(population_t[:, z])) for z in range(50)]
        expected.append(np.mean([ratio / other >= gamma for other in others]))
    found = rmia(*case, a=a, gamma=gamma)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert 0 < found.mean() < 1


def test_a_worked_case():
    """Ratios: 0.8 / 0.4 = 2 of the photo; 0.5, 1, 1.5 of the population. At a = 1, gamma = 2."""
    t, population_t = np.full((2, 1), 0.4), np.full((2, 3), 0.4)
    found = rmia(t, np.zeros((2, 1)), np.array([0.8]), population_t, np.array([0.2, 0.4, 0.6]), a=1)
    assert found == pytest.approx([2 / 3])


def test_photos_that_are_hard_under_every_model():
    """Difficulty hides membership from the scalar alone."""
    rng, n = np.random.default_rng(1), 2000
    difficulty, others = rng.uniform(0.1, 0.9, n), rng.uniform(0.1, 0.9, n)
    labels = np.arange(n) % 2

    def noisy(x, *size):
        return np.clip(x * np.exp(rng.normal(0, 0.05, (*size, n))), 1e-6, 1)

    target = np.clip(noisy(difficulty) * np.where(labels, 1.1, 1), 0, 1)
    arrays = noisy(difficulty, 8), np.zeros((8, n), bool), target, noisy(others, 8), noisy(others)
    assert roc_auc_score(labels, target) < 0.6
    assert roc_auc_score(labels, rmia(*arrays, a=1, gamma=1)) > 0.85


def test_models_that_trained_on_the_photo_are_not_read(case):
    t, in_mask, *rest = case
    spoiled = np.where(in_mask, 1e-3, t)
    np.testing.assert_array_equal(
        rmia(spoiled, in_mask, *rest, a=0.3), rmia(t, in_mask, *rest, a=0.3)
    )


def test_what_is_no_likelihood_is_refused(case):
    t, in_mask, *rest = case
    with pytest.raises(InputError, match=r"\(0, 1\]"):
        rmia(t - 0.5, in_mask, *rest, a=0.3)
    with pytest.raises(InputError, match="trained on photo 7"):
        rmia(t, in_mask | (np.arange(30) == 7), *rest, a=0.3)
