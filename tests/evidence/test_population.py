"""Draws of training samples, and what networks read of images."""

import numpy as np
import pytest

from mint_jax.evidence.population import Readings, draw, shuffle_people


@pytest.mark.parametrize("size", [10, 40, 80])
def test_a_draw_is_balanced_and_keeps_people_together(size):
    labels = np.repeat([1, 0], 60)
    identities = np.arange(120) // 3
    train, held = draw(labels, identities, size, 0.2, seed=3)
    assert not (train & held).any()
    for label in (0, 1):
        assert (train | held)[labels == label].sum() == size // 2
    assert not set(identities[train]) & set(identities[held])
    assert 0.1 <= held.sum() / size <= 0.5
    again = draw(labels, identities, size, 0.2, seed=3)
    np.testing.assert_array_equal(train, again[0])
    assert (draw(labels, identities, size, 0.2, seed=4)[0] != train).any()


def test_shuffling_moves_people_whole_and_keeps_their_number():
    labels = np.repeat([1, 0], 60)
    identities = np.arange(120) // 3
    shuffled = shuffle_people(labels, identities, seed=0)
    assert shuffled.sum() == labels.sum()
    assert all(len(set(shuffled[identities == i])) == 1 for i in range(40))
    assert 0.2 < (shuffled != labels).mean() < 0.8


def test_all_conv_is_every_convolutional_layer_side_by_side():
    maxima = {"conv1": np.ones((2, 3)), "conv2": np.zeros((2, 1)), "outcome": np.ones((2, 9))}
    np.testing.assert_array_equal(Readings(maxima).maximum("all_conv"), [[1, 1, 1, 0]] * 2)
