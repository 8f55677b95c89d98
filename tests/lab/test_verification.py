"""Verification pairs against a loop over all pairs."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from mint_jax.lab import verification_pairs

IDENTITIES = np.array([3, 3, 3, 8, 8, 5])
EMBEDDINGS = np.random.default_rng(0).normal(size=(6, 4)) * np.arange(1, 7)[:, None]


def test_every_genuine_pair_once_and_impostors_of_other_people():
    labels, cosines, people = verification_pairs(EMBEDDINGS, IDENTITIES, impostors=500)
    table = cosine_similarity(EMBEDDINGS)
    pairs = list(combinations(range(6), 2))
    same = [table[i, j] for i, j in pairs if IDENTITIES[i] == IDENTITIES[j]]
    others = [table[i, j] for i, j in pairs if IDENTITIES[i] != IDENTITIES[j]]
    assert np.sort(cosines[labels == 1]) == pytest.approx(np.sort(same))
    assert np.unique(cosines[labels == 0].round(9)) == pytest.approx(np.unique(others), abs=1e-9)
    assert sorted(people[labels == 1]) == [3, 3, 3, 8]
