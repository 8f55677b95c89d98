"""Neighbour and fused auditors with shuffled labels against as many ordinary ones."""

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


@pytest.mark.parametrize("share", [0.8, 1])  # of the people, whom an auditor knows
def test_fused_auditors_too(share, monkeypatch):
    """People have two photos, and each is compared to other people's; some sides are small."""
    monkeypatch.setattr(relabelled, "_AHEAD", 1)
    monkeypatch.setattr(relabelled, "_ROWS", 32)
    rng = np.random.default_rng(1)
    parts = [
        auditors.Neighbours(views=("flip",), top=(1, 20)),
        auditors.Consistency("outcome", ("flip",)),
    ]
    if share == 1:  # else the centre of all is not that of those whom one auditor knows
        parts.append(auditors.Neighbours("conv4", top=(1, 3), centred=True))
    config = auditors.FusionConfig(parts)

    def aad(n):
        return {k: rng.standard_normal((n, 16)).astype("f") for k in config.layers}

    def shuffled(count):
        each = (rng.permutation(np.arange(40) < count).repeat(2) for _ in range(3))
        return np.stack(list(each))

    known, people, test = aad(80), np.arange(80) // 2, aad(50)
    labels, rows = shuffled(9), shuffled(40 * share)
    found = auditors.fit_relabelled_fusions(known, labels, people, rows, config).predict(test)
    for p in range(3):
        one = auditors.fit_fusions(known, labels[p], people, rows[p : p + 1], config)
        np.testing.assert_allclose(found[p], one.predict(test)[0], atol=2e-4)
