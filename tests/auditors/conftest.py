"""Small trained auditors, shared by the tests of this folder."""

import numpy as np
import pytest

from mint_jax.auditors import (
    CNN,
    Consistency,
    FitConfig,
    FusionConfig,
    Neighbours,
    Vanilla,
    fit_fusions,
    fit_neighbours,
    fit_population,
)


def _vectors(n, channels, gap, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    features = rng.normal(size=(n, channels)) * rng.uniform(0.1, 5, channels) + 3
    features[:, 0] += gap * labels * features[:, 0].std()
    return features.astype(np.float32), labels


def _maps(n, side, channels, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    features = rng.normal(size=(n, side, side, channels)).astype(np.float32)
    for i in np.flatnonzero(labels):
        y, x = rng.integers(0, side - 3, 2)
        features[i, y : y + 3, x : x + 3, 0] += 3
    return features, labels


def _parts(n, sizes, validation, seed=0):
    rng = np.random.default_rng(seed)
    train = np.zeros((len(sizes), n), bool)
    held = train.copy()
    for p, size in enumerate(sizes):
        rows = rng.permutation(n)
        train[p, rows[:size]] = True
        held[p, rows[size : size + validation]] = True
    return train, held


@pytest.fixture(scope="session")
def vanilla_toy():
    """(population of 3 of unequal sizes, features, labels, train, validation)."""
    features, labels = _vectors(900, 8, gap=4.0)
    train, held = _parts(900, (100, 180, 240), 60)
    config = FitConfig()
    fitted = fit_population(Vanilla("conv1"), features, labels, train, held, [5, 6, 7], config)
    return fitted, features, labels, train, held


@pytest.fixture(scope="session")
def cnn_toy():
    """(population of 2, features, labels, train, validation)."""
    features, labels = _maps(700, 9, 4)
    train, held = _parts(700, (320, 320), 64)
    config = FitConfig(epochs=12, patience=4)
    fitted = fit_population(CNN("conv2"), features, labels, train, held, [1, 2], config)
    return fitted, features, labels, train, held


@pytest.fixture(scope="session")
def neighbour_toy():
    """(population of 2, embeddings, labels, bank of members, bank of non-members)."""
    rng = np.random.default_rng(3)
    centre = rng.normal(size=16)
    draw = lambda n, pull: rng.normal(size=(n, 16)) + pull * centre  # noqa: E731
    embeddings = np.concatenate([draw(150, 0.5), draw(150, 0)]).astype(np.float32)
    labels = np.repeat([1, 0], 150)
    banks = draw(70, 0.5), draw(90, 0)
    rows = np.zeros((2, 300), bool)
    rows[0, ::2], rows[1, 1::2] = True, True
    fitted = fit_neighbours(embeddings, labels, *banks, rows)
    return fitted, embeddings, labels, *banks


@pytest.fixture(scope="session")
def fusion_toy(neighbour_toy):
    """(population of 2 that reads an outcome, a view of it and conv4, their AAD)."""
    _, embeddings, labels, *_ = neighbour_toy
    rng = np.random.default_rng(4)
    noise = rng.normal(size=embeddings.shape).astype(np.float32)
    maxima = rng.uniform(1, 2, size=(300, 8)).astype(np.float32)
    features = {"outcome": embeddings, "outcome@flip": embeddings + noise, "conv4": maxima}
    parts = (
        Neighbours(views=("flip",)),
        Neighbours("conv4", centred=True),
        Consistency("outcome", ("flip",)),
    )
    rows = np.zeros((2, 300), bool)
    rows[0, ::2], rows[1, 1::2] = True, True
    fitted = fit_fusions(features, labels, np.arange(300), rows, FusionConfig(parts))
    return fitted, features
