"""Where activations should live: every place is measured, and trains the same auditor."""

import numpy as np
import pytest

from experiments import placing
from experiments.benchmarks import forward
from mint_jax import aad, audited, auditors

SPEC = "iresnet18:random=0,width=0.0625,embedding_size=8,input_size=16"
PLACES = ["device", "host", "store", "recomputed"]


@pytest.fixture(scope="module")
def model():
    return audited.load(SPEC)


def test_every_layer_of_both_tables(model):
    maxima = [("max", layer) for layer in (*model.layers, "all_conv")]
    assert [*placing.cases(model)] == maxima + [("map", f"conv{i}") for i in (1, 2, 3, 4)]


def test_every_place_is_measured_with_the_same_activations(model, tmp_path, monkeypatch):
    found, fit = {}, auditors.fit_population

    def spied(module, features, labels, train, validation, seeds, config, **options):
        fitted = fit(module, features, labels, train, validation, seeds, config, **options)
        name = f"{type(features).__name__} {config.place}"
        found.setdefault(name, []).append(fitted.predict(features))
        assert config.epochs == 3 and (train ^ validation).all() and train.sum() == 40
        return fitted

    monkeypatch.setattr(placing, "fit_population", spied)
    images = forward.photos(50, 16)
    row = placing.measure(aad.make_extractor(model, ["conv1"], "max", 16), images, tmp_path, 2)
    assert {name: len(scores) for name, scores in found.items()} == dict.fromkeys(
        ["ndarray device", "ndarray host", "memmap store", "_Recomputed store"], 2
    )
    (first, *_), *others = found.values()
    for scores in others:
        np.testing.assert_allclose(scores[1], first, atol=1e-5)
    assert not [*tmp_path.iterdir()]
    assert list(row["seconds"]) == list(row["range"]) == PLACES
    assert all(low <= row["seconds"][k] <= high for k, (low, high) in row["range"].items())
    assert row["bytes"] == 50 * 4 * 4 and row["seconds"][row["fastest"]] == min(
        row["seconds"].values()
    )


def test_the_table():
    seconds = dict(zip(PLACES, (0.0021, 0.003, 1.5, 0.25)))
    row = {"layer": "conv1", "reduce": "map", "images": 4000, "bytes": 1_540_000}
    *_, line = placing.lines([row | {"seconds": seconds, "fastest": "device"}])
    assert line == "| conv1 | maps | 4,000 | 1.5 | 2.1 | 3.0 | 1,500.0 | 250.0 | device |"
