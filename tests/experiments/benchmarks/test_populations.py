"""Populations and loops train the same cells."""

import jax
import numpy as np
import pytest

from experiments.benchmarks import populations
from mint_jax import audited, auditors
from mint_jax.aad.extractor import apply_function


def test_every_cell_has_its_samples():
    train, validation = populations.parts((40, 80), 100)
    np.testing.assert_array_equal(train.sum(1), [32, 64])
    np.testing.assert_array_equal(validation.sum(1), [8, 16])
    assert not (train & validation).any()


def test_populations_train_all_and_loops_a_seed_of_each_cell(monkeypatch):
    calls = []

    def fit(module, features, labels, train, validation, seeds, config):
        assert features.shape == (80, {"a": 4, "b": 6}[module.layer])
        assert features.dtype == np.float32 and config.patience == config.epochs == 3
        rows = (train | validation).sum(1).tolist()
        calls.append((module.layer, list(zip(rows, seeds, strict=True))))

    monkeypatch.setattr(populations, "fit_population", fit)
    race = populations.population(
        auditors.Vanilla, {"a": (4,), "b": (6,)}, (40, 80), seeds=2, epochs=3, goal=10.0
    )
    race.ours()
    assert race.n == 8
    assert calls == [(layer, [(40, 0), (40, 1), (80, 0), (80, 1)]) for layer in "ab"]
    calls.clear()
    torch, loop = race.peers
    loop.figure()
    assert calls == [(layer, [(rows, 0)]) for layer in "ab" for rows in (40, 80)]
    assert torch.goal == 10 and loop.goal is None


@pytest.mark.parametrize("auditor, shape", [(auditors.Vanilla, (4,)), (auditors.CNN, (4, 4, 3))])
def test_a_population_learns_what_its_loops_learn(auditor, shape):
    train, validation = populations.parts((40, 80), 80)
    features, labels = populations.samples({"a": shape}, 80)
    config = auditors.FitConfig(epochs=2)
    several = auditors.fit_population(
        auditor("a"), features["a"], labels, train, validation, [0, 1], config
    )
    alone = auditors.fit_population(
        auditor("a"), features["a"], labels, train[1:], validation[1:], [1], config
    )
    np.testing.assert_allclose(several.validation_loss[1:], alone.validation_loss, rtol=1e-5)


def test_the_maps_are_those_of_the_embedded_network():
    model = audited.load("embedded")
    apply = apply_function(model, list(populations.MAPS), "map")
    found = jax.eval_shape(apply, model.variables, jax.ShapeDtypeStruct((1, 28, 28, 3), np.uint8))
    assert {layer: maps.shape[1:] for layer, maps in found.items()} == populations.MAPS
