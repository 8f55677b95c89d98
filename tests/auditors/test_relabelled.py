"""Neighbour auditors with shuffled labels against as many ordinary ones."""

import numpy as np
import pytest

from mint_jax import auditors
from mint_jax.auditors import relabelled


@pytest.mark.parametrize("members", [30, 7])  # fewer than the 20 nearest that a feature wants
def test_each_reads_what_an_auditor_of_its_labels_reads(members, monkeypatch):
    monkeypatch.setattr(relabelled, "_AHEAD", 1)  # the nearest do not suffice at first
    monkeypatch.setattr(relabelled, "_ROWS", 32)
    rng = np.random.default_rng(0)
    bank, train, test = (rng.standard_normal((n, 16)).astype("f") for n in (60, 80, 50))
    in_bank = np.stack([rng.permutation(np.arange(60) < members) for _ in range(3)])
    labels = rng.integers(2, size=(3, 80))
    rows = rng.random((3, 80)) < 0.7
    found = auditors.fit_relabelled(train, labels, bank, in_bank, rows).predict(test)
    for p in range(3):
        one = auditors.fit_neighbours(
            train, labels[p], bank[in_bank[p]], bank[~in_bank[p]], rows[p : p + 1]
        )
        np.testing.assert_allclose(found[p], one.predict(test)[0], atol=2e-4)
