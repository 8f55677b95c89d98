"""Training of populations: determinism, independence, early stopping, what is read."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from mint_jax.auditors import FitConfig, Vanilla, fit_population
from mint_jax.errors import InputError

_SHORT = FitConfig(epochs=3)


def _fit(toy, rows=slice(None), seeds=(5, 6, 7), config=None, features=None):
    _, x, labels, train, held = toy
    x = x if features is None else features
    parts = train[rows], held[rows], np.array(seeds)[rows]
    return fit_population(Vanilla("conv1"), x, labels, *parts, config or _SHORT)


def test_equal_calls_give_equal_bits(vanilla_toy):
    first, second = _fit(vanilla_toy), _fit(vanilla_toy)
    features = vanilla_toy[1]
    np.testing.assert_array_equal(first.predict(features), second.predict(features))


def test_seeds_differ(vanilla_toy):
    _, features, labels, train, held = vanilla_toy
    same = np.stack([train[1]] * 2), np.stack([held[1]] * 2)
    fitted = fit_population(Vanilla("conv1"), features, labels, *same, [1, 2], _SHORT)
    a, b = fitted.predict(features)
    assert not np.allclose(a, b, atol=1e-3)


def test_an_auditor_does_not_depend_on_its_population(vanilla_toy):
    features = vanilla_toy[1]
    together = _fit(vanilla_toy).predict(features)
    for p in range(3):
        alone = _fit(vanilla_toy, slice(p, p + 1)).predict(features)[0]
        np.testing.assert_allclose(alone, together[p], atol=1e-5)


def test_other_rows_are_never_read(vanilla_toy):
    _, features, _, train, held = vanilla_toy
    expected = _fit(vanilla_toy, slice(0, 1)).predict(features)
    poisoned = features.copy()
    poisoned[~(train[0] | held[0])] = np.nan
    actual = _fit(vanilla_toy, slice(0, 1), features=poisoned).predict(features)
    np.testing.assert_array_equal(actual, expected)


def test_normalisation_is_that_of_the_training_rows(vanilla_toy, cnn_toy):
    for toy in (vanilla_toy, cnn_toy):
        fitted, features, _, train, _ = toy
        for p in range(len(fitted)):
            rows = features[train[p]].reshape(-1, features.shape[-1])
            scaler = StandardScaler().fit(rows.astype(np.float64))
            norm = fitted.variables[p]["normalisation"]["input"]
            np.testing.assert_allclose(norm["mean"], scaler.mean_, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(norm["scale"], 1 / scaler.scale_, rtol=1e-5)


def test_a_dead_filter_is_ignored(vanilla_toy):
    features = vanilla_toy[1].copy()
    features[:, 3] = 7.1
    fitted = _fit(vanilla_toy, slice(0, 1), features=features)
    expected = fitted.predict(features)
    features[:, 3] = -1e3
    np.testing.assert_array_equal(fitted.predict(features), expected)


def test_the_best_epoch_is_kept(vanilla_toy):
    fitted, features, labels, _, held = vanilla_toy
    scores = fitted.predict(features)
    for p in range(len(fitted)):
        loss = log_loss(labels[held[p]], scores[p][held[p]].astype(np.float64))
        np.testing.assert_allclose(loss, fitted.validation_loss[p], rtol=1e-4)


def test_early_stopping_ends_training(vanilla_toy):
    calls = []
    _, features, labels, train, held = vanilla_toy
    noise = np.random.default_rng(0).integers(0, 2, len(labels))
    config = FitConfig(epochs=200, patience=3)
    fitted = fit_population(
        Vanilla("conv1"),
        features,
        noise,
        train[1:2],
        held[1:2],
        [0],
        config,
        on_epoch=lambda *_: calls.append(1),
    )
    assert len(calls) == fitted.epoch[0] + 3 < 200


def test_shuffled_labels_read_chance(vanilla_toy):
    _, features, labels, train, held = vanilla_toy
    noise = np.random.default_rng(1).permutation(labels)
    fitted = fit_population(
        Vanilla("conv1"), features, noise, train[1:], held[1:], [0, 1], FitConfig(epochs=20)
    )
    for p, scores in enumerate(fitted.predict(features), start=1):
        unseen = ~(train[p] | held[p])
        assert abs(roc_auc_score(noise[unseen], scores[unseen]) - 0.5) < 0.1  # n = 600


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda t, h: (t, t), "both the training and the validation"),
        (lambda t, h: (t & False, h), "no members"),
        (lambda t, h: (t, h[:, :-1]), "shapes"),
    ],
)
def test_parts_that_cannot_be(vanilla_toy, change, reason):
    _, features, labels, train, held = vanilla_toy
    parts = change(train[:1], held[:1])
    with pytest.raises(InputError, match=reason):
        fit_population(Vanilla("conv1"), features, labels, *parts, [0])


def test_unknown_optimizer():
    with pytest.raises(InputError, match="adamw"):
        FitConfig(optimizer="lion")


def test_values_that_are_not_finite_stop_training(vanilla_toy):
    features = vanilla_toy[1].copy()
    features[np.flatnonzero(vanilla_toy[3][0])[0], 2] = np.nan
    with pytest.raises(FloatingPointError, match="conv1"):
        _fit(vanilla_toy, slice(0, 1), features=features)


_TWO_DEVICES = """
import sys, numpy as np
from mint_jax import parallel
from mint_jax.auditors import CNN, FitConfig, Vanilla, fit_population
assert parallel.device_count() == 2
data = np.load(sys.argv[1])
parts = data["labels"], data["train"], data["held"], [5, 6, 7], FitConfig(epochs=3)
features = data["features"]
out = fit_population(Vanilla("conv1"), features, *parts).predict(features)
streamed = FitConfig(epochs=3, place="host")
again = fit_population(Vanilla("conv1"), features, *parts[:-1], streamed).predict(features)
np.savez(sys.argv[2], out=out, again=again)
"""


def test_devices_share_a_population(vanilla_toy, tmp_path):
    _, features, labels, train, held = vanilla_toy
    given, found = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(given, features=features, labels=labels, train=train, held=held)
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    command = [sys.executable, "-c", _TWO_DEVICES, given, found]
    subprocess.run(command, env=environment, check=True)
    expected = _fit(vanilla_toy).predict(features)
    for name in ("out", "again"):
        np.testing.assert_allclose(np.load(found)[name], expected, atol=1e-5)
