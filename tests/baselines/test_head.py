"""Scores out of the head against scikit-learn's cosines."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from mint_jax.baselines import nearest_centre, own_centre, own_margin


@pytest.fixture(scope="module")
def head():
    """Embeddings (300, 8), more than one chunk; centres (5, 8); classes (300,); cosines."""
    rng = np.random.default_rng(0)
    embeddings, centres = rng.normal(0, 3, (300, 8)), rng.normal(0, 0.1, (5, 8))
    return embeddings, centres, rng.integers(0, 5, 300), cosine_similarity(embeddings, centres)


def test_nearest_centre(head):
    embeddings, centres, _, cosines = head
    np.testing.assert_allclose(nearest_centre(embeddings, centres), cosines.max(1), atol=1e-6)


def test_own_centre(head):
    embeddings, centres, classes, cosines = head
    expected = cosines[np.arange(300), classes]
    np.testing.assert_allclose(own_centre(embeddings, centres, classes), expected, atol=1e-6)


def test_own_margin(head):
    embeddings, centres, classes, cosines = head
    others = [np.delete(row, own).max() for row, own in zip(cosines, classes)]
    expected = cosines[np.arange(300), classes] - others
    np.testing.assert_allclose(own_margin(embeddings, centres, classes), expected, atol=1e-6)
